"""`plane(v, mean_candidate)`: the mean of the layers' directions, and their main axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.span import SIGN_RULE, build, components, signed
from steerdsl.methods.types import MethodError, Plane
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor

CANCELLED = 1e-6  # below this share of the candidates' length, their mean is rounding


def run(first: Tensor, candidates: Tensor) -> Plane:
    """b1 = unit(mean of the candidates [K, d]), instead of `first`; b2 = their PC1, across b1.

    meta gets the cosine of both. Raises MethodError with one candidate, when the candidates cancel
    out, and when PC1 lies along b1.
    """
    axes, shares = components(candidates, "mean_candidate")
    axis, flipped = signed(axes[0], candidates)
    mean = candidates.mean(0)
    if mean.norm() <= CANCELLED * candidates.norm(dim=-1).amax():
        raise MethodError("the candidate directions cancel out, so they have no mean", "name the first direction")
    meta = {
        "kind": "mean_candidate",
        "sign_rule": SIGN_RULE,
        "flipped": flipped,
        "cosine_with_first": _cosine(mean, first),
    }
    return build(mean, axis, candidates, meta, float(shares[0]))


def _cosine(u: Tensor, v: Tensor) -> float:
    size = u.norm() * v.norm()
    return float(u @ v / size) if size > 0 else 0.0


ENTRY = Entry(
    kind="plane",
    name="mean_candidate",
    summary="the mean of the per-layer directions and their first principal component",
    when=(
        "Use it when the layers' directions agree and you do not want to choose one of them. Not if they point in "
        "different directions, because their mean then represents none of them."
    ),
    run=run,
    formula="b1 = unit(mean C); s = PC1(C - mean C); b2 = unit(s - (s·b1)b1)",
    paper="notes on the 2-D rotation plane",
    example="turn = plane(topic, mean_candidate)",
    version=2,
)
