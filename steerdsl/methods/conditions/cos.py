"""`when cos(v) > t`: the signed cosine with a direction, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, r: Tensor) -> Tensor:
    """h·r/‖h‖ for activations h [..., d] and a unit direction r [d]; 0 where h is 0."""
    norm: Tensor = h.norm(dim=-1)
    return (h @ r) / norm.where(norm > 0, 1)


ENTRY = Entry(
    kind="condition",
    name="cos",
    summary="the signed cosine of each token's activation with a direction",
    when=(
        "Use it to steer only prompts or tokens about a concept. The cosine does not depend on the norm, so a "
        "threshold can be used at more than one layer; to measure how much of a concept a token has, use `proj`."
    ),
    run=run,
    args=(Arg("cos", "number", doc="what the cosine is compared with", least=-1, most=1),),
    formula="h·r̂/‖h‖",
    paper="Lee et al. 2025, section 3 (here the signed cosine)",
    example="ablate topic when cos(topic) > 0.3 at layer 12",
)
