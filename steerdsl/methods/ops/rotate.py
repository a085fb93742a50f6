"""`rotate`: turn the activation within a plane, by an angle or to an angle.

In: an ordered orthonormal basis (b1, b2) and an angle in degrees, counter-clockwise from b1. Out:
the kernel and its tensors. What lies outside the plane is untouched and norms are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steerdsl.methods.numbers import column
from steerdsl.methods.types import MethodError, Operand
from steerdsl.registry import Arg, Entry, OneOf

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    """h [..., d] turned in the plane of `basis` [2, d].

    `turn` [2, 2] is the rotation less the identity (relative); `aim` [d] is the unit vector at the
    wanted angle (absolute): a point of the plane's origin stays there.
    """
    ab = h @ p["basis"].T
    if "turn" in p:
        return h + ab @ p["turn"] @ p["basis"]
    return (h - ab @ p["basis"]).addcmul(ab.norm(dim=-1, keepdim=True), p["aim"])


def prepare(operand: Operand, args: Mapping[str, Any]) -> dict[str, Tensor]:
    """Kernel tensors from `by` or `to` (degrees, or one angle for each row).

    Raises MethodError when there is no plane.
    """
    import torch

    if operand.plane is None:
        raise MethodError("a rotation needs a plane", "write `rotate plane(v, pc1) by 90deg`")
    basis = torch.stack([operand.plane.b1, operand.plane.b2]).double()
    p = {"basis": basis}
    if args.get("by") is not None:
        c = column(args["by"], lambda d: -2 * math.sin(math.radians(d) / 2) ** 2)  # cos θ - 1, exact near 0
        s = column(args["by"], lambda d: math.sin(math.radians(d)))
        p["turn"] = torch.stack([c, s, -s, c], -1).reshape(*c.shape[:1], 2, 2)
    else:
        c = column(args["to"], lambda d: math.cos(math.radians(d)))
        s = column(args["to"], lambda d: math.sin(math.radians(d)))
        p["aim"] = c * basis[0] + s * basis[1]
    return {name: tensor.to(torch.float32) for name, tensor in p.items()}


ENTRY = Entry(
    kind="op",
    name="rotate",
    summary="rotate the activation within a plane, by an angle (relative) or to an angle (absolute)",
    when=(
        "Use it to vary a concept continuously while each token keeps its norm. Not to remove a concept only, which "
        "`ablate` does without a second axis."
    ),
    run=run,
    prepare=prepare,
    operand="plane",
    one_of=(
        OneOf(
            ("by", "to"),
            "an angle",
            "write `by 30deg` (from where it is) or `to 30deg` (from the first axis)",
            "keep one: `by` turns from where the activation is, `to` from the plane's first axis",
        ),
    ),
    args=(
        Arg("by", "angle", None, "rotate by this angle, from the activation's own angle"),
        Arg("to", "angle", None, "rotate to this angle, measured from the plane's first axis"),
        Arg(
            "adaptive",
            "flag",
            False,
            "only if the activation's component along the first axis is positive",
            condition=("proj", ">", 0.0),
        ),
    ),
    formula="by θ: h + [(cosθ-1)a - sinθ·b]b1 + [(cosθ-1)b + sinθ·a]b2; to θ: h - Ph + ‖Ph‖(cosθ·b1 + sinθ·b2)",
    paper="Vu and Nguyen 2025, Angular Steering",
    example="rotate plane(topic, pc1) by 210deg",
)
