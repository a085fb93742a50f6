"""`ablate`: remove a direction, or the span of several, from the activation.

In: unit rows [k, d] of the operand, how much to remove, and toward which mean. Out: the kernel and
its tensors. One form covers every case: h - share · ((h · reader) - bias) · unit + step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steerdsl.methods.numbers import column, each, plain
from steerdsl.methods.types import MethodError, Operand
from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor

NEGLIGIBLE = 1e-6  # a singular value below this share of the largest adds no direction


def run(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    """h [..., d] without its component in the span of `unit` [k, d]."""
    c = h @ p["reader"].T
    if "bias" in p:
        c = c - p["bias"]
    if "share" in p:
        c = c * p["share"]
    single = len(p["unit"]) == 1
    out = h.addcmul(c, p["unit"][0], value=-1) if single else h - c @ p["unit"]
    return out + p["step"] if "step" in p else out


def prepare(operand: Operand, args: Mapping[str, Any]) -> dict[str, Tensor]:
    """Kernel tensors from unit rows (or an oblique reader and offset), `by`, `toward` and `alpha`.

    Raises MethodError when every direction is zero, or a mean is asked for that the vector lacks.
    """
    import torch

    if operand.unit is None or not bool(operand.unit.any()):
        raise MethodError("there is no direction to ablate: every row is zero", "act at another layer")
    oblique = operand.reader is not None
    unit = operand.unit.double() if oblique else basis(operand.unit)
    reader = operand.reader.double() if operand.reader is not None else unit
    p = {"unit": unit, "reader": reader}
    center = operand.offset if args.get("toward") is None else operand.mean
    if args.get("toward") is not None and center is None:
        raise MethodError("the vector has no class means to ablate toward", "extract it in this recipe")
    if center is not None:
        p["bias"] = reader @ center.double()
    by = args.get("by", 1.0)
    if any(plain(b) != 1.0 for b in each(by)):
        p["share"] = column(by, plain)
    alpha = args.get("alpha", 0.0)
    if any(plain(a) != 0.0 for a in each(alpha)):
        if operand.norm is None:
            raise MethodError("the vector has no raw norm to add back", "leave out alpha")
        p["step"] = column(alpha, plain) * (operand.norm @ operand.unit.double())
    return {name: tensor.to(torch.float32) for name, tensor in p.items()}


def basis(rows: Tensor) -> Tensor:
    """Orthonormal float64 rows that span `rows` [k, d]; directions that add nothing are dropped."""
    import torch

    sigma: Tensor
    vt: Tensor
    _, sigma, vt = torch.linalg.svd(rows.double(), full_matrices=False)
    return vt[sigma > NEGLIGIBLE * sigma[0]]


ENTRY = Entry(
    kind="op",
    name="ablate",
    summary="remove the component along a direction, or in the span of several",
    when=(
        "Use it to remove a concept: there is no strength to choose, and tokens without the component stay the same. "
        "Not to induce a concept; use `add`."
    ),
    run=run,
    prepare=prepare,
    effect="removes",
    args=(
        Arg("by", "share", 1.0, "how much of the component to remove"),
        Arg("toward", "data", None, "replace the removed component with that of this class mean (affine)"),
        Arg("alpha", "number", 0.0, "with `toward`: how many raw vectors to add; 0 leaves the mean"),
    ),
    formula="h - λ(h·r̂)r̂; several: h - λQQᵀh; toward μ: h - λ(proj h - proj μ) + αr",
    paper="Arditi et al. 2024, section 2.4; Marshall et al. 2024 (toward); Belrose et al. 2023 (oblique, after leace)",
    example="ablate topic at layers 6,16,22",
)
