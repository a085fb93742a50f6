"""How likely a text is: cross-entropy and perplexity, and what steering costs the usual answer.

In: the log-probability of each token. Out: nats a token, or a perplexity; means are over tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.registry import Entry

SHORT = "the texts have no token after their first"


def cross_entropy(answers: Answers) -> Figures:
    """Minus the mean log-probability of the data set's text, nats a token."""
    totals, counts = _totals(answers.logprobs["text"])
    return Figures(_per_token(totals, counts), weights=counts, reason=SHORT)


def perplexity(answers: Answers) -> Figures:
    """exp of the cross-entropy; over prompts the token-weighted geometric mean, so that the whole is
    exp of the token-weighted cross-entropy."""
    entropy = cross_entropy(answers)
    return Figures([math.exp(value) for value in entropy.values], "geometric", entropy.weights, SHORT)


def delta_nll(answers: Answers) -> Figures:
    """How much less likely the unsteered answer has become, nats a token."""
    steered, counts = _totals(answers.logprobs["answer"])
    base, same = _totals(answers.logprobs["answer_base"])
    if counts != same:
        raise ValueError("answer and answer_base score different tokens")
    totals = [s - b for s, b in zip(steered, base, strict=True)]
    return Figures(_per_token(totals, counts), weights=counts, reason="the unsteered answers are empty")


def _totals(logprobs: Iterable[Any]) -> tuple[list[float], list[float]]:
    """Minus the sum, and the number, of each text's log-probabilities, in float64."""
    import numpy as np

    arrays = [np.asarray(item, dtype=np.float64) for item in logprobs]
    return [-float(a.sum()) for a in arrays], [float(a.size) for a in arrays]


def _per_token(totals: list[float], counts: list[float]) -> list[float]:
    return [total / count if count else NONE for total, count in zip(totals, counts, strict=True)]


ENTRIES = (
    Entry(
        kind="metric",
        name="cross_entropy",
        summary="cross-entropy of the data set's text, nats a token; higher is more harm to the model",
        run=cross_entropy,
        formula="-(1/T)·Σₜ log p(xₜ | x₍<ₜ₎)",
        example="evaluate forgetful on generic.held_out with cross_entropy",
        needs=frozenset({"logprobs", "text"}),
        aliases=("nll", "loss", "ce", "ce_loss"),
        least=0,
    ),
    Entry(
        kind="metric",
        name="perplexity",
        summary="perplexity of the data set's text; higher is more harm to the model",
        run=perplexity,
        formula="exp(cross-entropy)",
        example="evaluate forgetful on generic.held_out with perplexity",
        needs=frozenset({"logprobs", "text"}),
        aliases=("ppl",),
        least=1,
    ),
    Entry(
        kind="metric",
        name="delta_nll",
        summary="drop in likelihood of the unsteered answers, nats a token; 0 is unchanged, higher is more forgotten",
        run=delta_nll,
        formula="(1/T)·Σₜ (log p(xₜ) - log q(xₜ)), p unsteered, q steered",
        example="evaluate forgetful on econ.held_out with delta_nll",
        needs=frozenset({"logprobs", "answer", "answer_base"}),
    ),
)
