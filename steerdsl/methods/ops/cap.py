"""`cap`: keep the coordinate along a direction from rising above a value.

In: one unit direction and a coordinate along it. Out: the kernel and its tensors (as for `clamp`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.ops.clamp import prepare
from steerdsl.registry import Arg, Entry, OneOf

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    """h [..., d] with its coordinate along `unit` [d] lowered to `to` where it is above."""
    return h.addcmul((p["to"] - (h @ p["unit"])[..., None]).clamp(max=0), p["unit"])


ENTRY = Entry(
    kind="op",
    name="cap",
    summary="limit the coordinate along a direction to a maximum",
    when=(
        "Use it to limit a concept and leave tokens below the limit unchanged. Not to set the same value for all "
        "tokens; use `clamp`."
    ),
    run=run,
    prepare=prepare,
    one_of=(OneOf(("to",), "a value", "write `to 12`: the largest coordinate along the unit vector that is left"),),
    args=(Arg("to", "number", doc="the maximum of the coordinate h·r̂"),),
    formula="h + min(c - h·r̂, 0)r̂",
    paper="the one-sided form of clamp",
    example="cap topic to 12 at layer 16",
)
