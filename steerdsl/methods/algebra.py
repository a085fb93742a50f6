"""Arithmetic between named vectors, layer by layer.

In: `Vector`s of the same layers, stream and width. Out: a new `Vector`, or their cosines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steerdsl.methods.axes import apart, principal
from steerdsl.methods.finite import require_rows
from steerdsl.methods.types import Directions, MethodError, Vector

if TYPE_CHECKING:
    from torch import Tensor

CANCELLED = 1e-6  # below this share of its terms' size, a result is rounding and becomes zero


def combine(name: str, terms: Sequence[tuple[float, Vector]]) -> Vector:
    """The sum of coefficient times raw vector (`warm - 0.5 * formal`), one direction a layer.

    Layers where the terms cancel become zero rows. Raises MethodError when the vectors do not
    match, when one has several directions a layer, or when everything cancels.
    """
    import torch

    match([vector for _, vector in terms])
    for _, vector in terms:
        _single(vector)
    parts = torch.stack([coefficient * _raw(vector)[:, 0] for coefficient, vector in terms])
    size = parts.norm(dim=-1).amax(0)
    text = " + ".join(f"{coefficient:g}·{vector.name}" for coefficient, vector in terms)
    return _made(name, parts.sum(0)[:, None], size[:, None], terms[0][1], {"sum": text})


def orthogonalize(name: str, vector: Vector, against: Vector) -> Vector:
    """`vector` less its part along `against` (or in the span of its several directions), raw lengths.

    Layers where nothing is left become zero rows. Raises MethodError when the two do not match, or
    when nothing is left anywhere.
    """
    import torch

    match([vector, against])
    raw = _raw(vector)
    left = torch.stack([apart(v, _basis(u)) for v, u in zip(raw, against.directions.unit.double(), strict=True)])
    text = f"{vector.name} against {against.name}"
    return _made(name, left, raw.norm(dim=-1), vector, {"orthogonalized": text})


def cosine(u: Vector, v: Vector) -> Tensor:
    """The cosine of both at each layer, float64 [L]; 0 where either is zero.

    Raises MethodError when they do not match or one has several directions a layer.
    """
    match([u, v])
    _single(u)
    _single(v)
    return (u.directions.unit[:, 0].double() * v.directions.unit[:, 0].double()).sum(-1)


def match(vectors: Sequence[Vector]) -> None:
    """Raise MethodError unless all have the same width, stream and layers."""
    first = vectors[0]
    for other in vectors[1:]:
        both = f"{first.name} and {other.name}"
        widths = first.directions.unit.shape[-1], other.directions.unit.shape[-1]
        if widths[0] != widths[1]:
            raise MethodError(f"{both} are {widths[0]} and {widths[1]} wide", "use vectors of the same model")
        if first.stream != other.stream:
            raise MethodError(f"{both} are on {first.stream} and {other.stream}", "extract both on the same stream")
        if first.layers.tolist() != other.layers.tolist():
            raise MethodError(
                f"{both} are of layers {_listed(first.layers)} and {_listed(other.layers)}",
                "extract both at the same layers",
            )


def _listed(layers: Tensor) -> str:
    numbers = layers.tolist()
    return ", ".join(map(str, numbers)) if len(numbers) < 4 else f"{numbers[0]} to {numbers[-1]} ({len(numbers)})"


def _single(vector: Vector) -> None:
    k = vector.directions.unit.shape[1]
    if k != 1:
        raise MethodError(
            f"{vector.name} has {k} directions at each layer, and this needs one",
            "extract it with a method that gives one",
        )


def _raw(vector: Vector) -> Tensor:
    return vector.directions.raw_norm.double()[..., None] * vector.directions.unit.double()


def _basis(rows: Tensor) -> Tensor:
    axes, shares = principal(rows, len(rows))
    return axes[shares > CANCELLED**2]


def _made(name: str, raw: Tensor, size: Tensor, like: Vector, meta: dict[str, Any]) -> Vector:
    """A vector of raw rows [L, k, d]; those smaller than `CANCELLED` times `size` [L, k] become 0."""
    norm = raw.norm(dim=-1)
    require_rows(name, like.stream, like.layers.tolist(), {"sum": raw, "length": norm})
    zero = norm <= CANCELLED * size
    if bool(zero.all()):
        raise MethodError(f"nothing is left of {name}: its terms cancel at every layer", "use vectors that differ")
    norm = norm.masked_fill(zero, 0.0)
    unit = (raw / norm.where(norm > 0, 1.0)[..., None]).masked_fill(zero[..., None], 0.0)
    return Vector(name, Directions(unit.float(), norm), like.layers, like.stream, meta=meta)
