"""`clamp`: set the coordinate along a direction to a value.

In: one unit direction and a coordinate along it. Out: the kernel and its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steerdsl.methods.numbers import column, plain
from steerdsl.methods.types import MethodError, Operand
from steerdsl.registry import Arg, Entry, OneOf

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    """h [..., d] with its coordinate along `unit` [d] set to `to`."""
    return h.addcmul(p["to"] - (h @ p["unit"])[..., None], p["unit"])


def prepare(operand: Operand, args: Mapping[str, Any]) -> dict[str, Tensor]:
    """Kernel tensors from `to`, one coordinate or one for each row of a batch.

    Raises MethodError unless the operand is one direction that is not zero.
    """
    import torch

    if operand.unit is None or not bool(operand.unit.any()):
        raise MethodError("there is no direction to clamp: every row is zero", "act at another layer")
    if len(operand.unit) > 1:
        raise MethodError(f"one direction can be clamped, not {len(operand.unit)}", "clamp them one after another")
    return {"unit": operand.unit[0].to(torch.float32), "to": column(args["to"], plain).to(torch.float32)}


ENTRY = Entry(
    kind="op",
    name="clamp",
    summary="set the coordinate along a direction to a value",
    when=(
        "Use it to give every token the same amount of a concept, as in steering with SAE features. Not with one value "
        "for all layers: the norm of the stream grows with depth."
    ),
    run=run,
    prepare=prepare,
    effect="sets",
    one_of=(OneOf(("to",), "a value", "write `to 12`: the coordinate along the unit vector afterwards"),),
    args=(Arg("to", "number", doc="the coordinate h·r̂ afterwards"),),
    formula="h + (c - h·r̂)r̂",
    paper="Templeton et al. 2024, Scaling Monosemanticity (feature steering)",
    example="clamp topic to 12 at layer 16",
)
