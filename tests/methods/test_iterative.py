"""`extract iterative`: what each round finds, and when it stops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from classes import activations, unit

from steerdsl.methods.types import Activations
from steerdsl.registry import find


class Captured:
    """Two classes that differ by several planted vectors; recapturing projects the rows."""

    def __init__(self, planted: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        self.negative = rng.normal(size=(50, 2, planted.shape[-1]))
        self.positive = self.negative + planted.sum(0)
        self.rounds = 0

    def __call__(self, q: torch.Tensor) -> tuple[Activations, Activations]:
        self.rounds += 1
        q64 = q.double().numpy()
        found = []
        for rows in (self.positive, self.negative):
            found.append(activations(rows - np.einsum("nld,lkd,lke->nle", rows, q64, q64)))
        return found[0], found[1]


def test_iterative_stops_when_nothing_is_left() -> None:
    """One ablation takes the whole difference of the means, so the second round finds nothing."""
    recapture = Captured(np.eye(6)[:1] * 4)
    got = find("extract", "iterative").run(
        activations(recapture.positive), activations(recapture.negative), recapture=recapture, k=3
    )
    assert got.unit.shape == (2, 1, 6) and recapture.rounds == 1
    np.testing.assert_allclose(got.unit[:, 0].abs().numpy(), np.eye(6)[[0, 0]], atol=1e-6)


def test_iterative_finds_two_planted_directions_in_two_rounds() -> None:
    """The second direction shows only once the first is ablated, as a model's backup feature does."""
    first, second = np.eye(8)[0] * 5, np.eye(8)[3] * 2
    n = np.random.default_rng(0).normal(size=(60, 2, 8))
    n[..., [0, 3]] = 0
    asked = []

    def recapture(q: torch.Tensor) -> tuple[Activations, Activations]:
        asked.append(q.clone())
        missing = (q.double().numpy() @ unit(first)) ** 2
        back = n + (second + 0.2 * first if missing.sum() > 0.5 else first)
        if q.shape[1] > 1:
            back = n
        return activations(back), activations(n)

    got = find("extract", "iterative").run(activations(n + first), activations(n), recapture=recapture, k=4)
    assert got.unit.shape == (2, 2, 8) and got.figures["rounds"] == 2
    np.testing.assert_allclose(got.unit[0].abs().numpy(), np.eye(8)[[0, 3]], atol=1e-6)
    np.testing.assert_allclose(got.raw_norm[0].numpy(), [5, 2], rtol=1e-6)
    q = got.unit.double()
    assert float((q @ q.mT - torch.eye(2)).abs().max()) < 1e-6
    assert got.figures["overlap"][1][0] == pytest.approx(1 / np.hypot(2, 1), rel=1e-5)
    assert [a.shape[1] for a in asked] == [1, 2]


def test_iterative_ends_layer_by_layer() -> None:
    n = np.random.default_rng(0).normal(size=(30, 2, 6))
    first, second = np.zeros((2, 6)), np.zeros((2, 6))
    first[:, 0], second[:, 1] = 5, [2, 0.4]
    got = find("extract", "iterative").run(
        activations(n + first), activations(n), recapture=lambda q: (activations(n + second), activations(n)), k=2
    )
    assert got.unit[0, 1].any() and not got.unit[1, 1].any()
    np.testing.assert_allclose(got.raw_norm.numpy(), [[5, 2], [5, 0]], atol=1e-6)


NUMERIC = {("extract", "iterative"): test_iterative_finds_two_planted_directions_in_two_rounds}
