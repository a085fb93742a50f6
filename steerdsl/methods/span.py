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
SIGN_RULE = "the component with the largest magnitude is positive"


def signed(axis: Tensor) -> tuple[Tensor, bool]:
    """`axis` or its negative, so that its largest component is positive, and whether it was turned.

    A principal component's sign is arbitrary, and turning it takes 210° to 150°: hence a rule.
    """
    flipped = bool(axis[axis.abs().argmax()] < 0)
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
