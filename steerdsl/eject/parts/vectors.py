"""Directions: how they are kept, looked up and saved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from steerdsl.eject.parts.settings import N_LAYERS


@dataclass
class Vector:
    """A direction, or several, for each of L layers.

    unit: float32 [L, k, d], rows of length 1 (zero where a layer gave nothing).
    raw_norm: float64 [L, k]; the raw vector is raw_norm times unit.
    mean_positive, mean_negative: float32 [L, d], the class means, where there are classes.
    stream, meta: where it was read, and how it was made.
    """

    layers: list[int]
    unit: Tensor
    raw_norm: Tensor
    mean_positive: Tensor | None = None
    mean_negative: Tensor | None = None
    stream: str = "resid_post"
    meta: dict[str, Any] = field(default_factory=dict)

    def at(self, layer: int) -> tuple[Tensor, Tensor]:
        """The unit rows [k, d] and raw norms [k] of one layer."""
        row = self.layers.index(layer)
        if not self.unit[row].any():
            raise SystemExit(f"the direction is zero at layer {layer}")
        return self.unit[row], self.raw_norm[row]

    def one(self, layer: int) -> Tensor:
        """The single unit direction [d] of one layer."""
        unit, _ = self.at(layer)
        if len(unit) != 1:
            raise SystemExit(f"layer {layer} has {len(unit)} directions, not one")
        return unit[0]


def class_mean(vector: Vector, side: str, layer: int) -> Tensor:
    """The mean activation [d] of one of the classes that a vector was made from."""
    means = vector.mean_positive if side == "positive" else vector.mean_negative
    if means is None:
        raise SystemExit("this vector was not made from two classes")
    return means[vector.layers.index(layer)]


def span(vector: Vector, layers: Sequence[int]) -> Vector:
    """The directions of some layers together, the same at every layer of the model."""
    rows = [vector.layers.index(layer) for layer in layers]
    origin = {"from_layers": list(layers), "own_layers": vector.layers}
    return replace(
        vector,
        layers=list(range(N_LAYERS)),
        unit=vector.unit[rows].flatten(0, 1).expand(N_LAYERS, -1, -1),
        raw_norm=vector.raw_norm[rows].flatten().expand(N_LAYERS, -1),
        meta={**vector.meta, **origin},
    )


def save_vector(vector: Vector, path: Path) -> None:
    """Write a vector as steerdsl does: a row for each direction, and a header of JSON."""
    path.parent.mkdir(exist_ok=True)
    count, k, width = vector.unit.shape
    header = {
        "format": 1,
        "name": path.stem,
        "stream": vector.stream,
        "per_layer": k,
        "n_layers": count,
        "meta": vector.meta,
        "figures": {},
    }
    tensors = {
        "directions": vector.unit.reshape(-1, width),
        "raw_norms": vector.raw_norm.reshape(-1),
        "layers": torch.tensor(vector.layers).repeat_interleave(k),
    }
    if vector.mean_positive is not None and vector.mean_negative is not None:
        tensors["mean_positive"] = vector.mean_positive
        tensors["mean_negative"] = vector.mean_negative
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        path,
        {"steerdsl": json.dumps(header, sort_keys=True)},
    )
