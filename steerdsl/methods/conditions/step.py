"""`when step < n`: how many tokens the answer has so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(h: Tensor, r: Tensor) -> Tensor:
    """The step r [], the same for every token of h [..., d]: 0 during the prompt's pass, which
    makes the first token, then 1, 2, … It reads no activation, so the engine may decide it alone."""
    return r.expand(h.shape[:-1])


ENTRY = Entry(
    kind="condition",
    name="step",
    summary="the number of tokens generated so far; 0 in the prompt's pass",
    when=(
        "Use it to steer only the beginning of an answer. Not to leave the prompt alone: step 0 includes it; use "
        "`during generation`."
    ),
    run=run,
    args=(Arg("step", "int", doc="what the number of tokens is compared with", least=0),),
    operand="nothing",
    formula="t",
    example="ablate topic when step < 16",
)
