"""Random directions instead of a steer's own: the control of every steer.

In: everything that a steer acts with, and a seed. Out: the same under one random rotation of space. Norms stay,
and so do the cosines between layers, rows and operands: directions that agree across layers still agree, as do
those of two operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from steerdsl.methods.extract.random import gaussian
from steerdsl.methods.types import Directions, Plane, Vector

if TYPE_CHECKING:
    from torch import Tensor

# Apart from the streams of `extract random` (layer numbers) and of a plane's random axis (2**63), so
# that a random direction is not its own control.
STREAM = 2**62
WITHIN = 1e-5  # what is left of a unit row that lies within the span of others: float32's rounding, with room


def rotated(values: Sequence[Any], seed: int) -> list[Any]:
    """The vectors and planes of a steer under one random rotation; anything else (another prompt's activations)
    as it is. Where a layer has no direction (a zero row), neither has the control; that of an oblique eraser removes
    its random direction at right angles.

    Only the span of the directions is turned: they are written in an orthonormal basis [k, d], and a random one
    of the same size takes its place, so no d × d matrix is made. Rows of another width (a head's) are turned
    among themselves.
    """
    made = list(values)
    for width in {rows.shape[-1] for value in values for rows in _rows(value)}:
        chosen = [i for i, value in enumerate(values) if any(rows.shape[-1] == width for rows in _rows(value))]
        flat = [rows.double().reshape(-1, width) for i in chosen for rows in _rows(values[i])]
        turned = _turned(flat, seed)
        for i in chosen:
            made[i] = _with(values[i], [turned.pop(0).view_as(rows) for rows in _rows(values[i])])
    return made


def _rows(value: Any) -> list[Tensor]:
    """The directions of a value, each [..., d]."""
    if isinstance(value, Plane):
        return [value.b1, value.b2]
    if not isinstance(value, Vector):
        return []
    return [value.directions.unit]


def _with(value: Any, rows: list[Tensor]) -> Any:
    """The value with other directions."""
    if isinstance(value, Plane):
        return replace(value, b1=rows[0], b2=rows[1], explained=None, coordinates=None)
    return replace(value, directions=Directions(rows[0].float(), value.directions.raw_norm))


def _turned(parts: list[Tensor], seed: int) -> list[Tensor]:
    """Rows [n, d], float64, under one random rotation."""
    import torch

    rows = torch.cat(parts)
    basis = _basis(rows)
    frame = _frame(seed, *basis.shape)
    return list(torch.split(rows @ basis.T @ frame, [len(part) for part in parts]))


def _basis(rows: Tensor) -> Tensor:
    """An orthonormal basis [k, d] of the span of some rows, by Gram and Schmidt in their order, each twice: unlike
    one from singular vectors it does not depend on signs that a library is free to choose."""
    import torch

    found = rows.new_zeros(0, rows.shape[-1])
    norms = rows.norm(dim=-1)
    for row, norm in zip(rows, norms, strict=True):
        if norm == 0 or len(found) == rows.shape[-1]:
            continue
        rest = row / norm
        for _ in range(2):
            rest = rest - found.T @ (found @ rest)
        if rest.norm() > WITHIN:
            rest = rest / rest.norm()
            found = torch.cat([found, (rest - found.T @ (found @ rest))[None]])
    return found


def _frame(seed: int, k: int, width: int) -> Tensor:
    """k random orthonormal rows, float64 [k, width], every such frame as likely as any other; the first rows of a
    larger one are the same."""
    import torch

    numbers = gaussian(seed, STREAM, k * width).view(k, width)
    q, r = torch.linalg.qr(numbers.T)
    frame: Tensor = (q * r.diagonal().sign()).T
    return frame
