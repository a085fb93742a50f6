"""From two spanning vectors to an ordered orthonormal basis: the part that all planes share.

In: a first and a second vector, float64 [d]. Out: a `Plane` with its candidates' coordinates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steerdsl.methods.axes import apart, principal
from steerdsl.methods.types import MethodError, Plane

if TYPE_CHECKING:
    from torch import Tensor

COLLINEAR = 0.05  # below this share of s across b1, the plane would be decided by noise
SIGN_RULE = "positive toward the mean of the later half of the candidates"
UNDECIDED = 1e-9  # of the axis's spread: a later half this near to the mean leaves the sign to rounding


def signed(axis: Tensor, candidates: Tensor) -> tuple[Tensor, bool]:
    """`axis` or its negative, so that the later half of the candidates [K, d] lies on its positive side, seen
    from the mean of all; and whether it was turned. They are in the order of the layers, or of the set.

    A principal component's sign is arbitrary, and turning it takes 210° to 150°: hence a rule that the data
    carry. Raises MethodError where the later half has no side.
    """
    along = (candidates - candidates.mean(0)) @ axis
    later = along[len(along) // 2 :].mean()
    if later.abs() <= UNDECIDED * along.abs().amax():
        raise MethodError(
            "the later half of the candidates is on neither side of a principal component, so it has no sign",
            "take candidates of other layers, or name the second direction: `plane(u, v)`",
        )
    flipped = bool(later < 0)
    return (-axis if flipped else axis), flipped


def components(candidates: Tensor, kind: str, least: int = 2) -> tuple[Tensor, Tensor]:
    """All principal axes [r, d] of the centred candidates [K, d], and their shares of variance [r].

    Raises MethodError with fewer than `least` candidates, or when all are the same.
    """
    if len(candidates) < least:
        raise MethodError(
            f"{kind} needs at least {least} candidate directions, not {len(candidates)}",
            "extract at more layers, or name the second direction: `plane(u, v)`",
        )
    axes, shares = principal(candidates - candidates.mean(0), min(len(candidates) - 1, candidates.shape[1]))
    if shares[0] == 0:
        raise MethodError(f"{kind} needs candidate directions that differ", "extract at more layers")
    return axes, shares


def build(
    first: Tensor, second: Tensor, candidates: Tensor, meta: dict[str, Any], explained: float | None = None
) -> Plane:
    """The plane of b1 = unit(first) and b2 = unit(second - (second·b1)b1), Gram-Schmidt twice.

    meta gets `across`, the share of `second` that is across b1. Raises MethodError when either is
    zero or both point the same way (`across` below `COLLINEAR`).
    """
    import torch

    if not bool(first.any()) or not bool(second.any()):
        raise MethodError("a direction of the plane is zero", "take it from another layer")
    b1 = first / first.norm()
    rest = apart(second, b1[None])
    across = min(1.0, float(rest.norm() / second.norm()))
    if across < COLLINEAR:
        raise MethodError(
            f"the plane's two directions are collinear: {across:.1%} of the second is across the first",
            "take the second direction from other layers, or another kind of plane",
        )
    b2 = rest / rest.norm()
    coordinates = candidates @ torch.stack([b1, b2]).T if len(candidates) else None
    return Plane(b1, b2, explained, coordinates, {**meta, "across": across})
