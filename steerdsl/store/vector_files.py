"""Vectors and captured statistics as safetensors files.

In: `Vector`, `Activations`. Out: files, and the same values back. A vector's file has `directions`
float32 [n, d], `raw_norms` float64 [n], `layers` int64 [n], one row for each direction (a layer with
k directions has k rows), and JSON in the header under "steerdsl".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steerdsl.forms.files import Misread
from steerdsl.forms.kept import VECTOR
from steerdsl.forms.tensors import read_tensors
from steerdsl.forms.text import parse_json
from steerdsl.methods.types import Activations, Directions, Plane, Vector

FORMAT = 1


def save_vector(vector: Vector, path: Path) -> None:
    """Write a vector; the optional parts (class means, an oblique eraser's) only when it has them."""
    from safetensors.torch import save_file

    d = vector.directions
    n_layers, k, width = d.unit.shape
    tensors = {
        "directions": d.unit.reshape(-1, width),
        "raw_norms": d.raw_norm.reshape(-1),
        "layers": vector.layers.repeat_interleave(k),
        "reader": None if d.reader is None else d.reader.reshape(-1, width),
        "offset": d.offset,
        "mean_positive": vector.mean_positive,
        "mean_negative": vector.mean_negative,
    }
    header = {
        "format": FORMAT,
        "name": vector.name,
        "stream": vector.stream,
        "per_layer": k,
        "n_layers": n_layers,
        "meta": dict(vector.meta),
        "figures": dict(d.figures),
    }
    save_file(
        {name: t.contiguous() for name, t in tensors.items() if t is not None},
        path,
        {"steerdsl": json.dumps(header, sort_keys=True)},
    )


def load_vector(path: Path, name: str | None = None) -> Vector:
    """Read a vector written by `save_vector`. Raises OSError, and `Misread` for a file that is none."""
    metadata, found = read_tensors(path)
    tensors: Mapping[str, Any] = found
    header: Mapping[str, Any] = parse_json(metadata.get("steerdsl", "{}"), VECTOR, path.name, finite=False)
    if header["format"] != FORMAT or not {"directions", "raw_norms", "layers"} <= set(tensors):
        raise Misread(f"{path.name} is not a vector of steerdsl")
    k = header["per_layer"]
    unit = tensors["directions"].unflatten(0, (-1, k))
    reader = tensors.get("reader")
    return Vector(
        name=name or header["name"],
        directions=Directions(
            unit=unit,
            raw_norm=tensors["raw_norms"].unflatten(0, (-1, k)),
            reader=None if reader is None else reader.unflatten(0, (-1, k)),
            offset=tensors.get("offset"),
            figures=header["figures"],
        ),
        layers=tensors["layers"][::k].clone(),
        stream=header["stream"],
        mean_positive=tensors.get("mean_positive"),
        mean_negative=tensors.get("mean_negative"),
        meta=header["meta"],
    )


def save_plane(plane: Plane, path: Path) -> None:
    """Write a plane: `basis` float64 [2, d], and how it was made in the header."""
    import torch
    from safetensors.torch import save_file

    header = {"format": FORMAT, "kind": "plane", "explained": plane.explained, "meta": dict(plane.meta)}
    save_file({"basis": torch.stack([plane.b1, plane.b2])}, path, {"steerdsl": json.dumps(header, sort_keys=True)})


def save_activations(activations: Activations, path: Path) -> None:
    """Write one class's statistics."""
    import torch
    from safetensors.torch import save_file

    tensors = {
        "n": torch.tensor(activations.n),
        "mean": activations.mean,
        "variance": activations.variance,
        "median_norm": activations.median_norm,
        "rows": activations.rows,
        "mean_inverse_norm": activations.mean_inverse_norm,
    }
    save_file({name: t.contiguous() for name, t in tensors.items() if t is not None}, path)


def load_activations(path: Path) -> Activations:
    """Read what `save_activations` wrote."""
    from safetensors.torch import load_file

    t = load_file(path)
    more = (t.get("rows"), t.get("mean_inverse_norm"))
    return Activations(int(t["n"]), t["mean"], t.get("variance"), t["median_norm"], *more)
