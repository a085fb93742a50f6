"""What every operation promises beside its formula: worked cases, and what it leaves as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_ops import OBLIQUE, ONE, RNG, THREE, TURN, B, D, apply, length

from steerdsl.lang.recipe import Mean, Strength
from steerdsl.methods.ops.keep_norm import keep_norm
from steerdsl.methods.types import Operand, Plane


def operand(*rows: list[float]) -> Operand:
    raw = torch.tensor(rows, dtype=torch.float64)
    norm = raw.norm(dim=-1)
    return Operand((raw / norm[:, None]).float(), norm)


def test_ablating_a_span_is_not_ablating_one_after_another() -> None:
    """The second vector brings back some of the first: (-.866, .5, 3) in the place of (0, 0, 3)."""
    h = torch.tensor([[1.0, 2.0, 3.0]])
    v1, v2 = [1.0, 0.0, 0.0], [0.5, 3**0.5 / 2, 0.0]
    np.testing.assert_allclose(apply("ablate", h, operand(v1, v2)).numpy(), [[0, 0, 3]], atol=1e-6)
    sequential = apply("ablate", apply("ablate", h, operand(v1)), operand(v2))
    np.testing.assert_allclose(sequential.numpy(), [[-0.866, 0.5, 3]], atol=5e-4)


def test_ablating_drops_a_direction_that_adds_nothing() -> None:
    """The second differs from the first by 1e-8: kept, it would take a direction of pure rounding away."""
    h = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    first = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
    both = torch.cat([first, first + torch.tensor([[0, 1e-8, 0, 0]], dtype=torch.float64)])
    got = apply("ablate", h, Operand(both, torch.ones(2)))
    torch.testing.assert_close(got, h * torch.tensor([0.0, 1, 1, 1]), atol=1e-6, rtol=0)
    zero_row = apply("ablate", h, Operand(torch.stack([first[0], first[0] * 0]).float(), torch.ones(2)))
    torch.testing.assert_close(zero_row, h * torch.tensor([0.0, 1, 1, 1]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("given", [ONE, THREE, OBLIQUE], ids=["one", "three", "oblique"])
def test_ablation_is_idempotent(given: Operand) -> None:
    h = torch.randn(6, D, generator=torch.Generator().manual_seed(0))
    once = apply("ablate", h, given)
    torch.testing.assert_close(apply("ablate", once, given), once, atol=2e-6, rtol=0)


def test_affine_ablation_of_the_class_means() -> None:
    """alpha 0 leaves mean(N) where it is, alpha 1 takes it to mean(P)."""
    positive, negative = RNG.normal(size=D), RNG.normal(size=D)
    given = operand((positive - negative).tolist())
    given = Operand(given.unit, given.norm, mean=torch.from_numpy(negative))
    h = torch.from_numpy(negative).float()[None]
    stays = apply("ablate", h, given, {"toward": Mean("generic")})
    moves = apply("ablate", h, given, {"toward": Mean("generic"), "alpha": 1.0})
    np.testing.assert_allclose(stays[0].numpy(), negative, atol=2e-6)
    np.testing.assert_allclose(moves[0].numpy(), positive, atol=2e-6)


def test_alpha_is_adding_the_raw_vector_afterwards() -> None:
    h = torch.randn(6, D, generator=torch.Generator().manual_seed(0))
    toward = {"toward": Mean("generic")}
    one = apply("ablate", h, ONE, {**toward, "alpha": 1.3})
    two = apply("add", apply("ablate", h, ONE, toward), ONE, {"by": Strength(1.3, "raw")})
    torch.testing.assert_close(one, two, atol=2e-6, rtol=0)


def test_adding_and_taking_away_is_nothing() -> None:
    h = torch.randn(6, D, generator=torch.Generator().manual_seed(0))
    there = apply("add", h, ONE, {"by": Strength(3.0, "raw")})
    torch.testing.assert_close(apply("add", there, ONE, {"by": Strength(-3.0, "raw")}), h, atol=2e-6, rtol=0)


def test_clamped_coordinate_and_cap_below_it() -> None:
    h = torch.randn(50, D, generator=torch.Generator().manual_seed(0))
    row = ONE.unit[0]
    torch.testing.assert_close(apply("clamp", h, ONE, {"to": 1.5}) @ row, torch.full((50,), 1.5), atol=2e-6, rtol=0)
    low = h @ row <= 0.3
    capped = apply("cap", h, ONE, {"to": 0.3})
    assert low.any() and not low.all()
    assert torch.equal(capped[low], h[low])
    torch.testing.assert_close(capped[~low] @ row, torch.full((int((~low).sum()),), 0.3), atol=2e-6, rtol=0)


FLAT = Operand(plane=Plane(torch.eye(3, dtype=torch.float64)[0], torch.eye(3, dtype=torch.float64)[1]))


@pytest.mark.parametrize(
    ("args", "wanted"), [({"to": 90.0}, [0, 5, 12]), ({"to": 0.0}, [5, 0, 12]), ({"by": 90.0}, [-4, 3, 12])], ids=str
)
def test_rotations_of_three_four_twelve(args: dict[str, float], wanted: list[float]) -> None:
    got = apply("rotate", torch.tensor([[3.0, 4.0, 12.0]]), FLAT, args)
    np.testing.assert_allclose(got.numpy(), [wanted], atol=1e-6)


def test_rotations_compose() -> None:
    h = torch.randn(6, D, generator=torch.Generator().manual_seed(0))
    both = apply("rotate", apply("rotate", h, TURN, {"by": 70.0}), TURN, {"by": 65.0})
    torch.testing.assert_close(both, apply("rotate", h, TURN, {"by": 135.0}), atol=3e-6, rtol=0)
    torch.testing.assert_close(apply("rotate", h, TURN, {"by": 360.0}), h, atol=3e-6, rtol=0)
    torch.testing.assert_close(apply("rotate", h, TURN, {"by": 0.0}), h, atol=0, rtol=0)
    last = apply("rotate", apply("rotate", h, TURN, {"to": 70.0}), TURN, {"to": 65.0})
    torch.testing.assert_close(last, apply("rotate", h, TURN, {"to": 65.0}), atol=3e-6, rtol=0)


@pytest.mark.parametrize("args", [{"by": 123.0}, {"to": 123.0}], ids=str)
def test_rotations_keep_norms_and_what_is_outside_the_plane(args: dict[str, float]) -> None:
    h = torch.randn(6, D, generator=torch.Generator().manual_seed(0))
    got = apply("rotate", h, TURN, args)
    torch.testing.assert_close(got.norm(dim=-1), h.norm(dim=-1), atol=0, rtol=2e-6)
    outside = torch.from_numpy(np.eye(D) - B.T @ B).float()
    torch.testing.assert_close(got @ outside, h @ outside, atol=3e-6, rtol=0)


def test_absolute_rotation_leaves_what_has_no_part_in_the_plane() -> None:
    h = torch.tensor([[0.0, 0.0, 12.0]])
    assert torch.equal(apply("rotate", h, FLAT, {"to": 77.0}), h)


def test_keep_norm() -> None:
    before = torch.randn(5, D, generator=torch.Generator().manual_seed(0))
    after = apply("add", before, ONE, {"by": Strength(4.0, "raw")})
    kept = keep_norm(before, after)
    torch.testing.assert_close(kept.norm(dim=-1), before.norm(dim=-1), atol=0, rtol=1e-6)
    wanted = after.double().numpy() * (length(before.double().numpy()) / length(after.double().numpy()))
    np.testing.assert_allclose(kept.numpy(), wanted, atol=1e-5)
    assert torch.equal(keep_norm(before, torch.zeros_like(before)), torch.zeros_like(before))
