"""`when proj(v) > t`: the component along a direction, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, r: Tensor) -> Tensor:
    """h·r for activations h [..., d] and a unit direction r [d], in the activations' units."""
    return h @ r


ENTRY = Entry(
    kind="condition",
    name="proj",
    summary="the component of each token's activation along a direction",
    when=(
        "Use it to edit only tokens on one side of a direction, as in `proj() > 0`. Not with one threshold other than "
        "0 for many layers: the norm of the stream grows with depth."
    ),
    run=run,
    args=(Arg("proj", "number", doc="what the component is compared with, in the activations' units"),),
    formula="h·r̂",
    paper="Vu and Nguyen 2025, Angular Steering (adaptive)",
    example="ablate topic when proj(topic) > 0",
)
