"""KL, cross-entropy, perplexity and the change of likelihood, from given distributions."""

from __future__ import annotations

from math import exp, inf, isnan, log

import numpy as np
import pytest

from steerdsl.measure.answers import Answers
from steerdsl.measure.metrics.kl import kl_tokens
from steerdsl.measure.stats import interval
from steerdsl.registry import find


def figures(metric: str, **logprobs: object) -> object:
    n = len(next(iter(logprobs.values())))  # type: ignore[arg-type]
    return find("metric", metric).run(Answers([""] * n, [""] * n, logprobs=logprobs))  # type: ignore[arg-type]


def test_kl_by_hand() -> None:
    p, q = [0.5, 0.25, 0.25], [0.25, 0.5, 0.25]
    expected = 0.5 * log(2) + 0.25 * log(0.5)
    assert kl_tokens(np.log([p, p]), np.log([q, p])) == pytest.approx([expected, 0])


def test_kl_takes_logits_and_ignores_their_level() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 5, 7)).astype(np.float32)
    p, q = np.exp(a.astype(float)), np.exp(b.astype(float))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    assert kl_tokens(a + 30, b - 5) == pytest.approx((p * np.log(p / q)).sum(1), abs=1e-5)
    assert kl_tokens(a, b) == pytest.approx((p * np.log(p / q)).sum(1), abs=1e-12)


def test_kl_is_unbiased_at_a_large_vocabulary() -> None:
    """Two distributions e^10 apart on half of the mass each: `log(p + 1e-6)` would say far less."""
    v = 200_000
    base = np.zeros((1, v))
    steered = np.concatenate([np.zeros((1, v // 2)), np.full((1, v // 2), -20.0)], 1)
    expected = 10 - log(2 / (1 + exp(-20)))
    assert kl_tokens(base, steered)[0] == pytest.approx(expected)


def test_kl_where_a_token_is_impossible() -> None:
    sure, even = np.array([[0.0, -inf]]), np.log([[0.5, 0.5]])
    assert kl_tokens(sure, even) == pytest.approx([log(2)])
    assert kl_tokens(even, sure)[0] == inf


def test_kl_is_averaged_over_tokens() -> None:
    even, skew = np.log([0.5, 0.5]), np.log([0.9, 0.1])
    one = 0.5 * log(0.5 / 0.9) + 0.5 * log(0.5 / 0.1)
    found = figures("kl", next_base=[[even], [even] * 3, np.zeros((0, 2))], next=[[skew], [even] * 3, np.zeros((0, 2))])
    assert found.values[:2] == pytest.approx([one, 0]) and isnan(found.values[2])  # type: ignore[attr-defined]
    summary = interval(found)  # type: ignore[arg-type]
    assert summary.mean == pytest.approx(one / 4) and summary.n == 2


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
    arrays = (np.log([[0.5, 0.5]]) for _ in range(2))
    again = (np.log([[0.5, 0.5]]) for _ in range(2))
    answers = Answers(["", ""], ["", ""], logprobs={"next": arrays, "next_base": again})
    assert find("metric", "kl").run(answers).values == [0, 0]
