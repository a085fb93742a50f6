"""The random control: as many directions, as long, at the same layers, and otherwise unlike."""

from __future__ import annotations

import torch

from steerdsl.methods.control import random_like
from steerdsl.methods.extract.random import run
from steerdsl.methods.types import Directions, Plane, Vector


def vector(rows: torch.Tensor) -> Vector:
    norms = torch.arange(1.0, rows.shape[0] * rows.shape[1] + 1, dtype=torch.float64).view(rows.shape[:2])
    return Vector("v", Directions(rows, norms), torch.arange(len(rows)), "resid_post")


def test_each_layer_gets_orthonormal_rows_of_the_same_norms() -> None:
    own = vector(torch.eye(8)[:6].view(3, 2, 8))
    made = random_like(own, 0)
    unit = made.directions.unit
    assert unit.shape == (3, 2, 8) and unit.dtype == torch.float32
    assert torch.allclose(unit @ unit.mT, torch.eye(2).expand(3, 2, 2), atol=1e-6)
    assert torch.equal(made.directions.raw_norm, own.directions.raw_norm)
    assert not torch.allclose(unit[0], unit[1]) and not torch.allclose(unit, own.directions.unit)


def test_one_direction_at_every_layer_stays_one() -> None:
    made = random_like(vector(torch.eye(8)[:1].expand(4, 1, 8)), 0)
    assert all(torch.equal(row, made.directions.unit[0]) for row in made.directions.unit)


def test_a_layer_without_a_direction_has_none_in_the_control() -> None:
    rows = torch.eye(8)[:3].view(3, 1, 8).clone()
    rows[1] = 0
    made = random_like(vector(rows), 0).directions.unit
    assert not made[1].any() and made[0].norm() > 0.99 and made[2].norm() > 0.99


def test_a_plane_stays_orthonormal_and_a_seed_decides() -> None:
    basis = torch.eye(16, dtype=torch.float64)
    own = Plane(basis[0], basis[1], explained=0.5)
    made, again, other = random_like(own, 0), random_like(own, 0), random_like(own, 1)
    both = torch.stack([made.b1, made.b2])
    assert torch.allclose(both @ both.T, torch.eye(2, dtype=torch.float64), atol=1e-12)
    assert torch.equal(made.b1, again.b1) and not torch.allclose(made.b1, other.b1)
    assert abs(float(made.b1 @ own.b1)) < 0.9


def test_what_is_no_direction_is_left_alone() -> None:
    rows = {"place": torch.ones(2)}
    assert random_like(rows, 0) is rows


def test_different_operands_get_different_directions_and_a_random_one_another() -> None:
    own = vector(torch.eye(8)[:2].view(2, 1, 8))
    first, second = (random_like(own, 0, operand).directions.unit for operand in (0, 1))
    assert (first * second).sum(-1).abs().max() < 0.9
    random = vector(run(layers=[0, 1], width=8).unit)
    assert (random.directions.unit * random_like(random, 0).directions.unit).sum(-1).abs().max() < 0.9
