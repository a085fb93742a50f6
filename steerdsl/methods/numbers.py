"""The numbers of an operation as tensors that a kernel can multiply with.

In: one number of a recipe, or a sequence of them, one for each row of a batch (a sweep's points).
Out: float64 tensors, [] or [B, 1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def each(value: Any) -> list[Any]:
    """The values behind one number or one number for each row."""
    return list(value) if isinstance(value, Sequence) else [value]


def column(value: Any, read: Callable[[Any], float] = float) -> Tensor:
    """`read` of a number as [], or of one number for each of B rows as [B, 1, 1]; float64."""
    import torch

    if isinstance(value, Sequence):
        return torch.tensor([read(v) for v in value], dtype=torch.float64)[:, None, None]
    return torch.tensor(read(value), dtype=torch.float64)


def plain(value: Any) -> float:
    """A number that may come with its unit (`recipe.Strength`)."""
    return float(getattr(value, "value", value))
