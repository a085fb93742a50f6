"""`add`: add a multiple of a direction to the activation.

In: the operand's raw vector and a strength: in multiples of it, as a share of the token's norm, or in a length that was
measured on the training prompts (`sd`, `dose`). Out: the kernel and its tensors. Of several directions the sum of the
raw vectors is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from steerdsl.lang.recipe import Strength
from steerdsl.methods.numbers import column, each
from steerdsl.methods.types import MethodError, Operand
from steerdsl.registry import Arg, Entry, OneOf

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    """h [..., d] plus `step`, and plus `share` of each token's norm along `unit`."""
    out = h
    if "share" in p:
        out = h.addcmul(h.norm(dim=-1, keepdim=True) * p["share"], p["unit"])
    return out + p["step"] if "step" in p else out


def prepare(operand: Operand, args: Mapping[str, Any]) -> dict[str, Tensor]:
    """Kernel tensors from `by`, one Strength or one for each row of a batch.

    Raises MethodError when the direction is zero.
    """
    import torch

    by = args["by"]
    units = {strength.unit for strength in each(by)}
    p = {}
    if "share" in units:
        p["share"] = column(by, lambda s: _of(s, "share"))
        p["unit"] = along(operand)
    if units != {"share"}:
        p["step"] = step(operand, by)
    return {name: tensor.to(torch.float32) for name, tensor in p.items()}


def step(operand: Operand, by: Any) -> Tensor:
    """What is added to every token, float64 [d], or [B, 1, d] for the strengths of B rows; a share of a token's norm
    adds nothing here."""
    raw = _raw(operand)
    lengths = {"sd": operand.sd, "dose": operand.stream_norm}
    found = column(by, lambda s: _of(s, "raw")) * raw
    for unit in {strength.unit for strength in each(by)} & lengths.keys():
        length = lengths[unit]
        assert length is not None  # who asks for this unit has measured it
        found = found + column(by, partial(_of, unit=unit)) * length * along(operand)
    return found


def along(operand: Operand) -> Tensor:
    """The unit direction of what is added, float64 [d]: that of the sum of the raw vectors. A single row is kept even
    where its raw norm is 0."""
    raw = _raw(operand)
    assert operand.unit is not None
    found = operand.unit.double()[0] if len(operand.unit) == 1 else raw
    unit: Tensor = found / found.norm()
    return unit


def _raw(operand: Operand) -> Tensor:
    if operand.unit is None or operand.norm is None or not bool(operand.unit.any()):
        raise MethodError("there is no direction to add: every row is zero", "act at another layer")
    raw: Tensor = operand.norm.double() @ operand.unit.double()
    return raw


def _of(strength: Strength, unit: str) -> float:
    return strength.value if strength.unit == unit else 0.0


ENTRY = Entry(
    kind="op",
    name="add",
    summary="add a multiple of a direction",
    when=(
        "Use it to induce a concept, or to suppress it with a negative strength. Not without `at layers`, unless you "
        "mean every layer, and not at a large strength, which breaks the model."
    ),
    run=run,
    prepare=prepare,
    effect="adds",
    compounds=True,
    one_of=(
        OneOf(
            ("by",),
            "a strength",
            "write `by 10%` (a share of each token's norm), `by 2` (twice the raw vector) or `by 2 sd`",
        ),
    ),
    args=(
        Arg(
            "by",
            "strength",
            doc="multiples of the raw vector (2, -1.5), a share of each token's norm (10%), standard deviations of the "
            "training projections on the direction (2 sd), or a share of the training tokens' mean norm (30% dose)",
        ),
    ),
    formula="h + α·v; as a share: h + α‖h‖r̂; in sd: h + α·s·r̂; as a dose: h + α·mean‖h‖·r̂",
    paper="Rimsky et al. 2024, section 3; Turner et al. 2023, section 3; Arditi et al. 2024, section 2.4",
    example="add topic by 10% at layer 12",
)
