"""What every file from elsewhere must pass before its numbers are used.

In: a file's size, tensors as found, rows by layer. Out: float64 tensors, a `Vector` that fits the
model; one MethodError (R840 to R849) for the first thing that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.forms.files import Misread, require_regular
from steerdsl.forms.tensors import LARGEST
from steerdsl.lang import recipe as r
from steerdsl.methods.types import Directions, MethodError, Vector

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.sites import Architecture

SHAPES: Mapping[int, str] = {1: "[width]", 2: "[layers, width]", 3: "[positions, layers, width]"}


def listed(words: Iterable[str]) -> str:
    """`a, b or c`."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last


def damaged(file: str, title: str, reason: object) -> MethodError:
    """The error of a file that is not what its ending says."""
    return MethodError(f"{file} is not {title}: {brief(reason)}", "download or copy the file again", "R840")


def brief(said: object) -> str:
    """What a file made someone say, as part of a message: on one line, and not long."""
    return " ".join(str(said).split())[:200]


def size(path: Path) -> None:
    """Refuse a file that is too large to hold directions alone."""
    try:
        found = require_regular(path).st_size
    except (OSError, Misread) as error:
        raise damaged(path.name, "a file that can be read", error) from error
    if found > LARGEST:
        raise MethodError(
            f"{path.name} has {found:,} bytes, and a file of directions has at most {LARGEST:,}",
            "load a file that holds directions alone",
            "R845",
        )


def numbers(file: str, what: str, value: Any, dims: tuple[int, ...]) -> Tensor:
    """A tensor of a file as float64, when it is plain, real, finite and has one of `dims` dimensions."""
    import torch

    plain = type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout is torch.strided
    if not plain or value.device.type != "cpu" or not value.is_floating_point():
        kind = f"a tensor of {str(value.dtype).removeprefix('torch.')}" if plain else f"a {type(value).__name__}"
        raise MethodError(
            f"{file}: {what} is {kind}, and directions are real numbers", "save it as a float32 tensor", "R842"
        )
    if value.ndim not in dims or 0 in value.shape:
        shape = ", ".join(map(str, value.shape))
        wanted = listed(SHAPES[d] for d in dims)
        raise MethodError(f"{file}: {what} has the shape [{shape}], not {wanted}", "save it in that shape", "R842")
    if value.numel() * value.element_size() > min(LARGEST, value.untyped_storage().nbytes()):
        raise MethodError(
            f"{file}: {what} declares {value.numel():,} numbers, more than the file holds",
            "save a copy of the tensor (`tensor.clone()`)",
            "R845",
        )
    found: Tensor = value.detach().double()
    if not bool(torch.isfinite(found).all()):
        raise MethodError(
            f"{file}: {what} has numbers that are not finite", "save directions without nan or inf", "R843"
        )
    return found


def fits(file: str, arch: Architecture, stream: str, width: int, layers: list[int]) -> None:
    """Raise MethodError R844 unless the model has this stream, this width and these layers."""
    problem = None
    if stream not in arch.streams:
        problem = f"is of the stream {stream}, which {arch.family} models do not have"
    elif width != arch.width(stream):
        problem = f"holds directions of {width} numbers, and this model's {stream} has {arch.width(stream)}"
    elif layers and not 0 <= min(layers) <= max(layers) < arch.n_layers:
        wrong = next(layer for layer in layers if not 0 <= layer < arch.n_layers)
        problem = f"has a direction at layer {wrong}, and this model has layers 0 to {arch.n_layers - 1}"
    if problem:
        raise MethodError(f"{file} {problem}", "load a vector that was made for this model", "R844")


def vector(
    file: str,
    name: str,
    rows: Mapping[int, Tensor],
    stream: str,
    arch: Architecture,
    meta: Mapping[str, Any],
    warnings: Sequence[str] = (),
) -> Vector:
    """A vector of one raw direction [d] or several [k, d], float64, for each layer; zero ones keep a zero row."""
    import torch

    if not any(bool(row.any()) for row in rows.values()):
        raise MethodError(f"{file} holds no direction that is not zero", "load a file with directions", "R849")
    layers = sorted(rows)
    for layer in layers:
        fits(file, arch, stream, rows[layer].shape[-1], [layer])
    raw = torch.stack([row if row.ndim == 2 else row[None] for row in (rows[layer] for layer in layers)])
    norm = raw.norm(dim=-1)
    unit = raw / norm.where(norm > 0, 1.0)[..., None]
    figures = {"warnings": list(warnings)} if warnings else {}
    return Vector(name, Directions(unit.float(), norm, figures=figures), torch.tensor(layers), stream, meta=dict(meta))


def no_position(file: str, position: r.Position | None) -> None:
    """Refuse a position where the file has one direction for all positions."""
    if position is not None:
        raise MethodError(f"{file} has no positions to choose from", "leave out `at`", "R848")
