"""`nudge`: add a number of unit vectors, fewer where the activation points there already.

In: unit directions and a size. Out: the kernel and its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steerdsl.methods.numbers import column, plain
from steerdsl.methods.types import Operand
from steerdsl.registry import Arg, Entry, OneOf

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    """h [..., d] plus `by` unit vectors; with `soft`, less its own coordinate along the direction."""
    size = p["by"] - (h @ p["unit"])[..., None] if "soft" in p else p["by"]
    return h + size * p["unit"]


def prepare(operand: Operand, args: Mapping[str, Any]) -> dict[str, Tensor]:
    """Kernel tensors from `by` and `soft`."""
    import torch

    assert operand.unit is not None
    p = {"unit": operand.unit[0].to(torch.float32), "by": column(args["by"], plain).to(torch.float32)}
    return {**p, "soft": torch.ones(())} if args.get("soft") else p


ENTRY = Entry(
    "op",
    "nudge",
    "add a number of unit vectors",
    run,
    args=(
        Arg("by", "number", doc="how many unit vectors"),
        Arg("soft", "flag", False, "less what the activation has already"),
    ),
    formula="h + c·r̂; soft: h + (c - h·r̂)r̂",
    example="nudge topic by 3 at layer 12",
    prepare=prepare,
    one_of=(OneOf(("by",), "a size", "write `by 3`: that many unit vectors"),),
)
