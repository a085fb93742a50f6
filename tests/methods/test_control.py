"""The random control: one random rotation of everything that a steer acts with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steerdsl.methods.control import rotated
from steerdsl.methods.extract.random import run
from steerdsl.methods.types import Directions, Plane, Vector


def vector(rows: torch.Tensor) -> Vector:
    norms = torch.arange(1.0, rows.shape[0] * rows.shape[1] + 1, dtype=torch.float64).view(rows.shape[:2])
    return Vector("v", Directions(rows, norms), torch.arange(len(rows)), "resid_post")


def unit_rows(layers: int, k: int, d: int, seed: int) -> torch.Tensor:
    rows = np.random.default_rng(seed).normal(size=(layers, k, d)) + 1  # the 1 makes them agree
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=-1, keepdims=True)).float()


def everything(values: list[object]) -> torch.Tensor:
    """All directions of some values, one below another."""
    found = []
    for value in values:
        if isinstance(value, Plane):
            found += [value.b1[None], value.b2[None]]
        elif isinstance(value, Vector):
            found.append(value.directions.unit.double().flatten(0, 1))
    return torch.cat(found)


@given(st.integers(1, 6), st.integers(1, 3), st.sampled_from([4, 16, 64]), st.integers(0, 9))
@settings(max_examples=40)
def test_all_norms_and_cosines_are_kept_and_nothing_else(layers: int, k: int, d: int, seed: int) -> None:
    """Layers, rows, operands and planes together; also more rows than the space has dimensions."""
    rows = unit_rows(layers, k, d, seed)
    basis = torch.linalg.qr(torch.from_numpy(np.random.default_rng(seed).normal(size=(d, 2)))).Q.T
    own = [vector(rows), vector(unit_rows(2, 1, d, seed + 100)), Plane(basis[0], basis[1], explained=0.5)]
    made = rotated(own, seed)
    before, after = everything(own), everything(made)
    assert torch.allclose(before @ before.T, after @ after.T, atol=1e-5)
    assert not torch.allclose(before, after, atol=0.1)
    assert torch.equal(made[0].directions.raw_norm, own[0].directions.raw_norm)
    assert made[0].directions.unit.dtype == torch.float32 and made[2].b1.dtype == torch.float64
    assert made[2].explained is None


def test_one_direction_at_every_layer_stays_one() -> None:
    (made,) = rotated([vector(torch.eye(8)[:1].expand(4, 1, 8))], 0)
    assert all(torch.equal(row, made.directions.unit[0]) for row in made.directions.unit)


def test_a_layer_without_a_direction_has_none_in_the_control() -> None:
    rows = torch.eye(8)[:3].view(3, 1, 8).clone()
    rows[1] = 0
    (made,) = rotated([vector(rows)], 0)
    unit = made.directions.unit
    assert not unit[1].any() and unit[0].norm() > 0.99 and unit[2].norm() > 0.99


def test_a_seed_decides_and_no_basis_of_the_same_directions_does() -> None:
    own = [vector(unit_rows(3, 1, 32, 0))]
    one, again, other = (everything(rotated(own, seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.allclose(one, other, atol=0.1)
    near = [vector(unit_rows(3, 1, 32, 0) + 1e-7)]
    assert torch.allclose(everything(rotated(near, 0)), one, atol=1e-5)


def test_draws_are_spread_evenly_over_the_sphere() -> None:
    """A direction's coordinates have mean 0 and variance 1 / d, and so have their products."""
    own = [vector(unit_rows(2, 1, 16, 3))]
    draws = torch.stack([everything(rotated(own, seed)) for seed in range(400)])
    assert draws.mean(0).abs().max() < 4 / 20 / 4
    assert (draws[:, 0].T @ draws[:, 0] / 400 - torch.eye(16) / 16).abs().max() < 0.02


def test_what_is_no_direction_is_left_alone_and_widths_are_turned_apart() -> None:
    rows = {"place": torch.ones(2)}
    head, stream = vector(unit_rows(2, 1, 8, 0)), vector(unit_rows(2, 1, 32, 0))
    made = rotated([rows, head, stream], 0)
    assert made[0] is rows and rotated([], 0) == []
    assert made[1].directions.unit.shape[-1] == 8 and made[2].directions.unit.shape[-1] == 32


def test_a_random_direction_is_not_its_own_control() -> None:
    random = vector(run(layers=[0, 1], width=64).unit)
    (made,) = rotated([random], 0)
    assert (random.directions.unit * made.directions.unit).sum(-1).abs().max() < 0.6


@pytest.mark.parametrize("rows", [2, 40])
def test_directions_within_the_span_of_others_stay_there(rows: int) -> None:
    """A sum of two directions is turned to the sum of the turned ones, whatever float32 has rounded."""
    two = unit_rows(2, 1, 64, 1)
    mixed = torch.stack([torch.nn.functional.normalize(two[0] * i + two[1], dim=-1) for i in range(rows)])
    (one, other) = rotated([vector(two), vector(mixed)], 5)
    together = torch.cat([one.directions.unit, other.directions.unit]).flatten(0, 1)
    assert torch.linalg.matrix_rank(together.double(), atol=1e-4) == 2
