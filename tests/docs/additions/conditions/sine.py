"""`when sine(v) > t`: how far an activation is from a direction's line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, r: Tensor) -> Tensor:
    """The sine of the angle between activations h [..., d] and a unit direction r [d]."""
    norm = h.norm(dim=-1)
    found: Tensor = (1 - ((h @ r) / norm.where(norm > 0, 1)) ** 2).clamp(min=0).sqrt()
    return found


ENTRY = Entry(
    "condition",
    "sine",
    "the sine of the angle between each token's activation and a direction",
    run,
    args=(Arg("sine", "number", doc="what the sine is compared with", least=0, most=1),),
    formula="sqrt(1 - (h·r̂/‖h‖)²)",
    example="ablate topic when sine(topic) > 0.5",
)
