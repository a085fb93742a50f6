"""Edits of a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from steerdsl.engine.edits import Edit, make_edit
from steerdsl.engine.steer_compiler import SMALLER_STEP
from steerdsl.methods.finite import require_tensors

# The edits of each stream of each layer, in the order in which they act.
Edits = dict[tuple[str, int], list[Edit]]


def edit(
    kernel: Callable[[Tensor, dict[str, Tensor]], Tensor],
    tensors: dict[str, Tensor],
    steps: tuple[int, int | None] = (0, None),
    gates: Sequence[Callable[..., Any]] = (),
    keep: bool = False,
    part: tuple[int, int] | None = None,
    align: Callable[[Tensor, int], Tensor] | None = None,
) -> Edit:
    """A kernel with the tensors that it reads, and when it acts.

    steps: the first forward pass that it acts in and one past the last; 0 reads the prompt, k the k-th
    generated token. gates: conditions. keep: give each token back the norm that it had. part: the features of
    one head. align: of a patch, which row each token takes.
    """
    require_tensors("an operation", tensors, SMALLER_STEP)
    return make_edit(kernel, tensors, steps, gates, keep, part, align)
