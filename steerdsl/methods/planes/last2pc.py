"""`plane(v, last2pc)`: the two axes in which the layers' directions differ least."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.span import SIGN_RULE, build, components, signed
from steerdsl.methods.types import MethodError, Plane
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor

NEGLIGIBLE = 1e-12  # a share of variance at or below this is rounding


def run(first: Tensor, candidates: Tensor) -> Plane:
    """b1, b2 = the last two principal components of the centred candidates [K, d] that have variance.

    `first` takes no part (its cosines with both are in meta). Raises MethodError with fewer than
    three candidates, or when they differ in one direction only.
    """
    axes, shares = components(candidates, "last2pc", least=3)
    live = int((shares > NEGLIGIBLE).sum())
    if live < 2:
        raise MethodError("last2pc needs candidates that differ in two directions", "extract at more layers")
    (b1, flipped1), (b2, flipped2) = (signed(axes[i], candidates) for i in (live - 2, live - 1))
    size = float(first.norm()) or 1.0
    meta = {
        "kind": "last2pc",
        "sign_rule": SIGN_RULE,
        "flipped": [flipped1, flipped2],
        "cosine_with_first": [float(first @ b1) / size, float(first @ b2) / size],
    }
    return build(b1, b2, candidates, meta, float(shares[live - 2 : live].sum()))


ENTRY = Entry(
    kind="plane",
    name="last2pc",
    summary="the last two principal components of the per-layer directions",
    when="Use it only as a negative control. The notes found that it does not work.",
    run=run,
    formula="b1, b2 = the last two of PC(C - mean C)",
    paper="notes on the 2-D rotation plane (found not to work: a negative control)",
    example="turn = plane(topic, last2pc)",
    version=2,
)
