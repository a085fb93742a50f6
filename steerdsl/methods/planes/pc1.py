"""`plane(v, pc1)`: a direction, and the main axis in which the layers' directions differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.span import SIGN_RULE, build, components, signed
from steerdsl.methods.types import Plane
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(first: Tensor, candidates: Tensor) -> Plane:
    """b1 = unit(first); b2 = PC1 of the centred candidates [K, d], across b1.

    Raises MethodError with one candidate, and when PC1 lies along b1.
    """
    axes, shares = components(candidates, "pc1")
    axis, flipped = signed(axes[0], candidates)
    meta = {"kind": "pc1", "sign_rule": SIGN_RULE, "flipped": flipped}
    return build(first, axis, candidates, meta, float(shares[0]))


ENTRY = Entry(
    kind="plane",
    name="pc1",
    summary="a direction and the first principal component of the per-layer directions",
    when=(
        "Use it as the usual plane of a rotation. Always compare it with `random`: for one published model a random "
        "second axis does as well."
    ),
    run=run,
    formula="b1 = v̂; s = PC1(C - mean C); b2 = unit(s - (s·b1)b1)",
    paper="Vu and Nguyen 2025, Angular Steering",
    example="turn = plane(topic, pc1) from layers 25%..75%",
    version=2,
)
