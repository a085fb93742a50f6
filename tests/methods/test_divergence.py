"""The KL divergence of two distributions, against arithmetic by hand."""

from __future__ import annotations

from math import exp, inf, isnan, log

import numpy as np
import pytest
import torch
from torch import tensor

from steerdsl.methods.divergence import kl


def test_by_hand() -> None:
    p, q = tensor([0.5, 0.25, 0.25]).double().log(), tensor([0.25, 0.5, 0.25]).double().log()
    expected = 0.5 * log(2) + 0.25 * log(0.5)
    assert kl(torch.stack([p, p]), torch.stack([q, p])).tolist() == pytest.approx([expected, 0])


def test_it_takes_logits_and_ignores_their_level() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 5, 7)).astype(np.float32)
    p, q = np.exp(a.astype(float)), np.exp(b.astype(float))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    for x, y, limit in ((a + 30, b - 5, 1e-5), (a, b, 1e-12)):
        found = kl(torch.from_numpy(x), torch.from_numpy(y))
        assert found.dtype == torch.float64
        assert found.numpy() == pytest.approx((p * np.log(p / q)).sum(1), abs=limit)


def test_it_is_unbiased_at_a_large_vocabulary() -> None:
    """Two distributions e^10 apart on half of the mass each: `log(p + 1e-6)` would say far less."""
    v = 200_000
    other = torch.cat([torch.zeros(1, v // 2), torch.full((1, v // 2), -20.0)], 1)
    expected = 10 - log(2 / (1 + exp(-20)))
    assert float(kl(torch.zeros(1, v), other)) == pytest.approx(expected)


def test_a_token_that_is_impossible() -> None:
    sure, even = tensor([[0.0, -inf]]), tensor([[0.5, 0.5]]).log()
    assert kl(sure, even).tolist() == pytest.approx([log(2)])
    assert kl(even, sure).tolist() == [inf] and kl(sure, sure).tolist() == [0]


def test_a_model_that_broke_down_has_no_divergence() -> None:
    assert isnan(float(kl(tensor([[0.0, torch.nan]]), tensor([[0.0, 0.0]]))))
