"""When addition and ablation are rotations, and when they are not (notes on the 2-D rotation plane).

For one token, take the plane of the direction r and of what is left of the token beside it:
b1 = r, b2 = unit(h - (h·r)r). There h = ρ(cosφ·b1 + sinφ·b2) with 0 < φ < π.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from classes import unit
from test_ops import apply

from steerdsl.lang.recipe import Strength
from steerdsl.methods.types import Operand, Plane
from steerdsl.registry import find

RNG = np.random.default_rng(0)
D = 16
DIRECTION = unit(RNG.normal(size=D))
TOKENS = RNG.normal(size=(8, D)) * 3
ONE = Operand(torch.from_numpy(DIRECTION[None]), torch.ones(1, dtype=torch.float64))


def own_plane(h: np.ndarray) -> tuple[Operand, float, float]:
    """The token's own plane, its length in it and its angle from the direction."""
    plane = find("plane", "vector").run(
        torch.from_numpy(DIRECTION), torch.zeros(0, D, dtype=torch.float64), second=torch.from_numpy(h)
    )
    a, b = h @ plane.b1.numpy(), h @ plane.b2.numpy()
    return Operand(plane=plane), float(np.hypot(a, b)), float(np.arctan2(b, a))


def row(h: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(h).float()[None]


def rms_norm(h: torch.Tensor) -> torch.Tensor:
    return h / h.square().mean(-1, keepdim=True).sqrt()


@pytest.mark.parametrize("alpha", [-6.0, -1.0, 0.5, 2.0, 20.0])
def test_addition_is_a_rotation_and_a_rescaling_in_the_token_s_own_plane(alpha: float) -> None:
    for h in TOKENS:
        given, rho, phi = own_plane(h)
        after = np.arctan2(rho * np.sin(phi), rho * np.cos(phi) + alpha)
        longer = np.hypot(rho * np.sin(phi), rho * np.cos(phi) + alpha) / rho
        added = apply("add", row(h), ONE, {"by": Strength(alpha, "raw")})
        turned = apply("rotate", row(h), given, {"by": float(np.rad2deg(after - phi))})
        torch.testing.assert_close(added, longer * turned, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(rms_norm(added), rms_norm(turned), atol=1e-5, rtol=1e-5)
        assert float(added.norm() / turned.norm()) == pytest.approx(longer, rel=1e-5)


def test_addition_reaches_only_half_of_the_circle() -> None:
    """Any strength leaves the angle between 0 and 180 degrees: it "mimics half of the rotation"."""
    for h in TOKENS:
        given, _, phi = own_plane(h)
        angles = []
        for alpha in np.r_[-np.geomspace(1e4, 1e-2, 40), np.geomspace(1e-2, 1e4, 40)]:
            got = h + alpha * DIRECTION
            angles.append(np.arctan2(got @ given.plane.b2.numpy(), got @ given.plane.b1.numpy()))
        assert 0 < min(angles) < 0.01 and np.pi - 0.01 < max(angles) < np.pi
        assert np.all(np.diff(angles) < 0)
        below = apply("rotate", row(h), given, {"by": float(np.rad2deg(np.pi + 1 - phi))})[0].double().numpy()
        assert below @ given.plane.b2.numpy() < 0  # where a rotation goes and no addition does


def test_ablation_is_a_rotation_to_ninety_degrees_shortened_by_the_sine() -> None:
    for h in TOKENS:
        given, _, phi = own_plane(h)
        ablated = apply("ablate", row(h), ONE)
        turned = apply("rotate", row(h), given, {"to": 90.0})
        torch.testing.assert_close(ablated, float(np.sin(phi)) * turned, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(rms_norm(ablated), rms_norm(turned), atol=1e-5, rtol=1e-5)


def test_in_a_fixed_plane_they_differ_by_a_known_amount() -> None:
    """rotate to 90° minus ablate = (ρ - b)b2, which no norm takes away."""
    b2 = unit(RNG.normal(size=D))
    b2 = unit(b2 - (b2 @ DIRECTION) * DIRECTION)
    fixed = Operand(plane=Plane(torch.from_numpy(DIRECTION), torch.from_numpy(b2)))
    for h in TOKENS:
        a, b = h @ DIRECTION, h @ b2
        difference = apply("rotate", row(h), fixed, {"to": 90.0}) - apply("ablate", row(h), ONE)
        np.testing.assert_allclose(difference[0].numpy(), (np.hypot(a, b) - b) * b2, atol=1e-5)
        one, two = (
            rms_norm(apply(op, row(h), g, x)) for op, g, x in (("ablate", ONE, {}), ("rotate", fixed, {"to": 90.0}))
        )
        assert float((one - two).norm()) > 1e-3
