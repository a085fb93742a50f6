"""`keep norm`: give a steered activation the norm that it had before.

In: activations before and after an operation. Out: the second, rescaled (repeng's rule).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def keep_norm(before: Tensor, after: Tensor) -> Tensor:
    """after · ‖before‖/‖after‖ over the last axis; a zero row of `after` stays zero."""
    norm = after.norm(dim=-1, keepdim=True)
    scale: Tensor = before.norm(dim=-1, keepdim=True) / norm.where(norm > 0, 1)
    return after * scale
