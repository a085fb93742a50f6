"""Edits of a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from steerdsl.methods.ops.keep_norm import keep_norm

# A kernel changes float32 activations, given the tensors that it reads.
Kernel = Callable[[Tensor, dict[str, Tensor]], Tensor]
# An edit takes activations [B, S, d], the number of the forward pass (0 reads the prompt,
# k the k-th generated token) and which of the prompt's tokens are no padding [B, S].
Edit = Callable[[Tensor, int, Tensor], Tensor]
# The edits of each stream of each layer, in the order in which they act.
Edits = dict[tuple[str, int], list[Edit]]
# A condition says for which tokens [B, S] an edit acts.
Condition = Callable[[Tensor], Tensor]


def condition(
    figure: Callable[[Tensor, Tensor], Tensor],
    direction: Tensor,
    compare: Callable[[Tensor, float], Tensor],
    threshold: float,
) -> Condition:
    """True where the figure of an activation and a unit direction is beyond a threshold."""

    def holds(x: Tensor) -> Tensor:
        return compare(figure(x, direction.to(x)), threshold)

    return holds


def edit(
    kernel: Kernel,
    tensors: dict[str, Tensor],
    first: int = 0,  # if: window
    stop: int | None = None,  # if: window
    columns: slice = slice(None),  # if: heads
    keep: bool = False,  # if: keep_norm
    when: Sequence[Condition] = (),  # if: when
) -> Edit:
    """Make an edit of a kernel and its tensors.

    first, stop: the forward passes that it acts in, from `first` to before `stop`.  # if: window
    columns: the features that it acts on, where these are one head's.  # if: heads
    keep: give each token back the norm that it had.  # if: keep_norm
    when: act only on tokens for which all of these hold.  # if: when
    """

    def act(h: Tensor, step: int, real: Tensor) -> Tensor:
        if step < first or (stop is not None and step >= stop):  # if: window
            return h  # if: window
        # Arithmetic in float32: bfloat16 would round the direction itself to 8 bits.
        x = h.float()  # if: not heads
        x = h[..., columns].float()  # if: heads
        # After the first call the tensors are on the model's device and stay there.
        for name, tensor in tensors.items():
            tensors[name] = tensor.to(x.device)
        y = kernel(x, tensors)
        if keep:  # if: keep_norm
            y = keep_norm(x, y)  # if: keep_norm
        for holds in when:  # if: when
            y = y.where(holds(x)[..., None], x)  # if: when
        if step == 0:
            y = y.where(real.to(x.device)[..., None], x)  # padding stays as it is
        if columns == slice(None):  # if: heads
            return y.to(h.dtype)  # if: heads
        whole = h.clone()  # if: heads
        whole[..., columns] = y.to(h.dtype)  # if: heads
        return whole  # if: heads
        return y.to(h.dtype)  # if: not heads

    return act


def change(h: Tensor, edits: list[Edit], step: int, real: Tensor) -> Tensor:
    """Make some edits of one stream, one after another."""
    for make in edits:
        h = make(h, step, real)
    return h


def apply(model: Any, edits: Edits, step: int, real: Tensor) -> None:
    """Make the edits of one forward pass; `eject.sites` writes this model's own."""
