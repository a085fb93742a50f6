"""Ranks with ties shared, as the choice of layer and the AUROC count them.

In: numbers. Out: midranks from 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def midranks(x: Tensor) -> Tensor:
    """The rank of each of x [n] from 1, equal values sharing the mean of their ranks; float64 [n]."""
    import torch

    _, where, counts = torch.unique(x, return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0).to(torch.float64) - (counts - 1) / 2
    return ranks[where]
