"""Random directions in the place of an operation's own: the control of every steer.

In: what an operation acts with. Out: the same with random directions, of the same norms and number,
at the same layers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from steerdsl.methods.extract.random import gaussian
from steerdsl.methods.types import Directions, Plane, Vector

if TYPE_CHECKING:
    from torch import Tensor

# Apart from the streams of `extract random` (layer numbers) and of a plane's random axis (2**63), so
# that a random direction is not its own control. Each operand has streams for so many layers.
STREAM, LAYERS = 2**62, 2**20


def random_like(value: Any, seed: int, operand: int = 0) -> Any:
    """A vector or plane with random orthonormal rows in the place of its own; anything else (another
    prompt's activations) as it is. `operand` numbers what the operations of a steer act with: different
    directions get different controls. Rows that were equal stay equal: one direction that acts at all
    layers is replaced by one. Where a layer has no direction (a zero row), neither has the control.
    """
    stream = STREAM + operand * LAYERS
    if isinstance(value, Plane):
        b1, b2 = _rows(seed, stream, 2, len(value.b1))
        return replace(value, b1=b1, b2=b2, explained=None, coordinates=None)
    return _vector(value, seed, stream) if isinstance(value, Vector) else value


def _vector(vector: Vector, seed: int, stream: int) -> Vector:
    import torch

    unit = vector.directions.unit
    rows: list[Tensor] = []
    for i, own in enumerate(unit):
        first = next(j for j in range(i + 1) if torch.equal(unit[j], own))
        made = rows[first] if first < i else _rows(seed, stream + int(vector.layers[i]), *own.shape).float()
        rows.append(made.where(own.any(dim=-1, keepdim=True), 0))
    return replace(vector, directions=Directions(torch.stack(rows), vector.directions.raw_norm))


def _rows(seed: int, stream: int, k: int, width: int) -> Tensor:
    """k random orthonormal rows, float64 [k, width]."""
    import torch

    numbers = gaussian(seed, stream, k * width).view(k, width)
    q: Tensor = torch.linalg.qr(numbers.T).Q.T
    return q
