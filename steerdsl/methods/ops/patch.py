"""`patch`: replace this prompt's activations by another prompt's.

In: the other prompt's rows [S, d], and for each token the number of the row it takes (-1 keeps the
token's own). Out: the kernel, its tensors, and `align`, which makes those numbers from a mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from steerdsl.methods.types import MethodError, Operand
from steerdsl.registry import Arg, Entry, OneOf

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    """h [B, T, d] with `rows[index]` wherever `index` [B, T] is not negative."""
    taken = p["rows"][p["index"].clamp(min=0)]
    return taken.where(p["index"][..., None] >= 0, h)


def prepare(operand: Operand, args: Mapping[str, Any]) -> dict[str, Tensor]:
    """Kernel tensors except `index`, which depends on the batch (see `align`).

    Raises MethodError when there is no other prompt.
    """
    import torch

    if operand.rows is None:
        raise MethodError("there are no activations to patch in", 'name a prompt: `patch from "…"`')
    return {"rows": operand.rows.to(torch.float32)}


def align(mask: Tensor, length: int, how: Literal["end", "start"] = "end") -> Tensor:
    """Which of `length` source rows each token takes: int64 [B, T], -1 for none.

    mask: [B, T], 1 for tokens and 0 for padding on either side. "start" matches the first token
    with the first row and so on, "end" the last with the last; what is left over is not patched.
    """
    import torch

    mask = mask.bool()
    number = mask.long().cumsum(-1) - 1
    if how == "end":
        number = number + length - mask.sum(-1, keepdim=True)
    return torch.where(mask & (number >= 0) & (number < length), number, -1)


ENTRY = Entry(
    kind="op",
    name="patch",
    summary="replace activations with those of another prompt, token by token",
    when=(
        "Use it to find out which sites carry the information of another prompt. Not to steer a single concept: it "
        "replaces the whole activation."
    ),
    run=run,
    prepare=prepare,
    operand="nothing",
    needs=frozenset({"prompt"}),
    one_of=(OneOf(("from",), "another prompt", 'write `patch from "What is inflation?"`'),),
    args=(
        Arg("from", "text", doc="the prompt that the activations come from"),
        Arg("align", "word", "end", "which tokens match: the last ones, or the first ones", ("end", "start")),
    ),
    formula="h_t ← h'_s, with s = t counted from the end or from the start",
    paper="Vig et al. 2020; Meng et al. 2022, section 2.1",
    example='patch from "What is inflation?" at layer 12',
)
