"""The refusal to act with a direction that is zero.

In: unit rows as extraction left them (zero where a layer gave nothing). Out: the same rows, or a
MethodError that names layer and position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.types import MethodError

if TYPE_CHECKING:
    from torch import Tensor


def require(unit: Tensor, layer: int, position: str, name: str = "the direction") -> Tensor:
    """Return `unit` [k, d] when it holds at least one direction.

    Raises MethodError when every row is zero. This happens on real models: where a template puts
    the same token in every prompt, both classes are equal before the first attention layer.
    """
    if not bool(unit.any()):
        raise MethodError(
            f"{name} is zero at layer {layer}, {position}: both classes are the same there",
            "act at another layer, or extract at another position",
        )
    return unit
