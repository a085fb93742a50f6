"""Principal axes and orthonormal completion, in float64.

In: rows [n, d]. Out: unit rows, with the share of the sum of squares that each explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def principal(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first k principal axes of `rows` [n, d] about the origin (centre them first if wanted).

    Returns unit rows [k, d] and their shares of the sum of squares [k]; zero rows and shares where
    all rows are zero.
    """
    import torch

    _, sigma, vt = torch.linalg.svd(rows, full_matrices=False)
    power = sigma.square()
    total = power.sum()
    if total == 0:
        return torch.zeros_like(vt[:k]), torch.zeros_like(power[:k])
    return vt[:k], power[:k] / total


def apart(rows: Tensor, basis: Tensor) -> Tensor:
    """`rows` [..., d] less their part in the span of orthonormal `basis` [k, d].

    Done twice: one pass of Gram-Schmidt leaves rounding errors of the size of what it removed.
    """
    for _ in range(2):
        rows = rows - (rows @ basis.T) @ basis
    return rows
