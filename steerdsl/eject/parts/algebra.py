"""Arithmetic between vectors, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor

from steerdsl.eject.parts.vectors import Vector


def raw_rows(vector: Vector) -> Tensor:
    """The raw vectors: float64 [L, k, d]."""
    return vector.raw_norm[..., None] * vector.unit.double()


def from_raw(raw: Tensor, size: Tensor, like: Vector, meta: dict[str, str]) -> Vector:
    """A vector of raw rows [L, k, d]; what is tiny beside its terms' size is zero."""
    norm = raw.norm(dim=-1)
    gone = norm <= 1e-6 * size
    if gone.all():
        raise SystemExit("nothing is left: the terms cancel at every layer")
    norm = norm.masked_fill(gone, 0.0)
    unit = raw / norm.where(norm > 0, 1.0)[..., None]
    unit = unit.masked_fill(gone[..., None], 0.0)
    return Vector(like.layers, unit.float(), norm, stream=like.stream, meta=meta)


def combine(terms: list[tuple[float, Vector]], text: str) -> Vector:
    """The sum of coefficients times raw vectors, layer by layer."""
    parts = torch.stack([c * raw_rows(vector)[:, 0] for c, vector in terms])
    size = parts.norm(dim=-1).amax(0)
    return from_raw(parts.sum(0)[:, None], size[:, None], terms[0][1], {"sum": text})


def orthogonalize(vector: Vector, against: Vector, text: str) -> Vector:
    """A vector less its part in the span of another, layer by layer."""
    raw = raw_rows(vector)
    left = []
    for rows, other in zip(raw, against.unit.double(), strict=True):
        _, sigma, axes = torch.linalg.svd(other, full_matrices=False)
        power = sigma.square()
        basis = axes[power > 1e-12 * power.sum()]
        # Twice: once leaves rounding errors as large as what it takes away.
        for _ in range(2):
            rows = rows - (rows @ basis.T) @ basis
        left.append(rows)
    kept = torch.stack(left)
    return from_raw(kept, raw.norm(dim=-1), vector, {"orthogonalized": text})
