"""Vectors and files made by hand, the bad ones too, for tests of the formats."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import torch
from tiny import tiny_config

from steerdsl.formats import table
from steerdsl.lang.recipe import Load, Position
from steerdsl.methods.types import Directions, MethodError, Vector
from steerdsl.models.architecture import architecture
from steerdsl.models.sites import Architecture

ARCH = architecture(tiny_config("llama"))
IDS = torch.tensor([[1, 40, 50, 60, 70, 80, 90], [1, 99, 98, 97, 33, 44, 55]])
F32, UINT8, STRING, ARRAY, UINT32, BOOL = 0, 0, 8, 9, 4, 7


def random_vector(
    arch: Architecture = ARCH, name: str = "v", k: int = 1, layers: tuple[int, ...] = (), stream: str = "resid_post"
) -> Vector:
    """A vector of random directions, by default at every layer; long enough to change answers."""
    own = torch.tensor(layers or range(arch.n_layers))
    draw = torch.Generator().manual_seed(len(name) + k)
    raw = torch.randn(len(own), k, arch.width(stream), generator=draw, dtype=torch.float64) / 4
    norm = raw.norm(dim=-1)
    return Vector(name, Directions((raw / norm[..., None]).float(), norm), own, stream)


def raw_rows(vector: Vector) -> torch.Tensor:
    """The raw vectors [L, k, d] in float64."""
    return vector.directions.unit.double() * vector.directions.raw_norm[..., None]


def read(path: Path, position: Position | None = None, arch: Architecture = ARCH) -> Vector:
    return read_as(path, Load("old", path.name, position), arch)


def read_as(path: Path, said: Load, arch: Architecture = ARCH) -> Vector:
    """Read a file as a recipe asks for it."""
    form = table.of(path.name, "read")
    assert form and form.read
    return form.read(path, arch, said)


def refusal(path: Path, position: Position | None = None, arch: Architecture = ARCH) -> str:
    """The one message of a file that is refused: code, problem, help."""
    try:
        read(path, position, arch)
    except MethodError as error:
        return f"{error.code}: {error.problem} | {error.way_out}"
    raise AssertionError(f"{path.name} was read")


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _setting(key: str, value: Any) -> bytes:
    match value:
        case bool():
            return _text(key) + struct.pack("<I?", BOOL, value)
        case bytes():
            return _text(key) + struct.pack("<IIQ", ARRAY, UINT8, len(value)) + value
        case list():
            return _text(key) + struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_text, value))
        case int():
            return _text(key) + struct.pack("<II", UINT32, value)
        case _:
            return _text(key) + struct.pack("<I", STRING) + _text(value)


def gguf_bytes(
    tensors: dict[str, list[float]],
    settings: dict[str, Any] | None = None,
    kind: int = F32,
    shape: tuple[int, ...] | None = None,
    counts: tuple[int, int] | None = None,
    version: int = 3,
    place: int | None = None,
) -> bytes:
    """A GGUF file, written after the specification. `shape`, `counts` (tensors, settings), `version` and
    `place` (where every tensor's data begin) may lie."""
    given = {"general.architecture": "controlvector", "controlvector.model_hint": "llama", **(settings or {})}
    n_tensors, n_settings = counts or (len(tensors), len(given))
    head = struct.pack("<4sIQQ", b"GGUF", version, n_tensors, n_settings)
    head += b"".join(_setting(key, value) for key, value in given.items())
    data = b""
    for name, values in tensors.items():
        dims = shape or (len(values),)
        head += _text(name) + struct.pack(
            f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data) if place is None else place
        )
        data += struct.pack(f"<{len(values)}f", *values)
        data += bytes(-len(data) % 32)
    return head + bytes(-len(head) % 32) + data
