"""KL, cross-entropy, perplexity and the change of likelihood, from given figures of tokens."""

from __future__ import annotations

from math import isnan, log

import numpy as np
import pytest

from steerdsl.measure.answers import Answers
from steerdsl.measure.stats import interval
from steerdsl.registry import find


def figures(metric: str, **logprobs: object) -> object:
    n = len(next(iter(logprobs.values())))  # type: ignore[arg-type]
    return find("metric", metric).run(Answers([""] * n, [""] * n, logprobs=logprobs))  # type: ignore[arg-type]


def test_kl_is_averaged_over_tokens() -> None:
    found = figures("kl", kl=[np.array([0.8]), np.array([0.3, 0, 0]), np.zeros(0)])
    assert found.values[:2] == pytest.approx([0.8, 0.1]) and isnan(found.values[2])  # type: ignore[attr-defined]
    summary = interval(found)  # type: ignore[arg-type]
    assert summary.mean == pytest.approx(1.1 / 4) and summary.n == 2


def test_perplexity_of_the_whole_is_exp_of_the_token_weighted_cross_entropy() -> None:
    text = [np.log([0.5, 0.25]), np.log([0.125])]
    entropy, perplexity = figures("cross_entropy", text=text), figures("perplexity", text=text)
    assert entropy.values == pytest.approx([1.5 * log(2), 3 * log(2)])  # type: ignore[attr-defined]
    assert perplexity.values == pytest.approx([2**1.5, 8])  # type: ignore[attr-defined]
    assert interval(entropy).mean == pytest.approx(2 * log(2))  # type: ignore[arg-type]
    assert interval(perplexity).mean == pytest.approx(4)  # type: ignore[arg-type]


def test_loss_of_likelihood() -> None:
    base, steered = [np.log([0.5, 0.5]), np.log([0.5])], [np.log([0.25, 0.25]), np.log([0.5])]
    found = figures("delta_nll", answer=steered, answer_base=base)
    assert found.values == pytest.approx([log(2), 0])  # type: ignore[attr-defined]
    assert interval(found).mean == pytest.approx(2 / 3 * log(2))  # type: ignore[arg-type]


def test_arrays_may_be_made_on_the_way() -> None:
    arrays = (np.array([nats]) for nats in (0.5, 0.25))
    assert find("metric", "kl").run(Answers(["", ""], ["", ""], logprobs={"kl": arrays})).values == [0.5, 0.25]


NUMERIC = {
    ("metric", "kl"): test_kl_is_averaged_over_tokens,
    ("metric", "cross_entropy"): test_perplexity_of_the_whole_is_exp_of_the_token_weighted_cross_entropy,
    ("metric", "perplexity"): test_perplexity_of_the_whole_is_exp_of_the_token_weighted_cross_entropy,
    ("metric", "delta_nll"): test_loss_of_likelihood,
}
