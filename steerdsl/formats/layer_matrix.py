"""Matrices with a direction a row: persona vectors, the assistant axis, hotwire's files.

In: a matrix [rows, width] and what a recipe says its rows are, or a `Vector`. Out: a `Vector`, or a `.pt` file
[layers, width]. A matrix does not say which row is which layer, and being off by one degrades a steer without an error,
so nothing is guessed. hotwire adds row k times a scale to what block k puts out.
Sources: Chen et al. 2025 (persona vectors: a row for each of transformers' `hidden_states`, whose last is behind the
final norm; row k is added to what block k - 1 puts out); Lu et al. 2026 (the assistant axis: a row for each block's
output); hotwire-vllm 0.1.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.formats import checks
from steerdsl.formats.steady import refusal
from steerdsl.methods.finite import EXPORT_LESS, require_tensors
from steerdsl.methods.types import MethodError, Vector

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.sites import Architecture

TITLE = "a matrix of layers"
HIDDEN_STATES = "hidden_states"
ADDED = "resid_post"  # where hotwire adds


def meaning(rows: str, n_layers: int) -> str:
    """What the rows of a matrix are, in words."""
    if rows == HIDDEN_STATES:
        return (
            f"row k is {ADDED} of layer k - 1; row 0, the embeddings, and row {n_layers}, after the final norm, "
            "are left out"
        )
    return f"row k is {rows} of layer k"


def read(file: str, name: str, matrix: Tensor, rows: str | None, arch: Architecture) -> Vector:
    """A vector of a matrix [rows, d], float64. Raises MethodError R844 where the rows are not as many as `rows`
    says, R950 where it says nothing."""
    n, layers = len(matrix), arch.n_layers
    if n not in (layers, layers + 1):
        raise MethodError(
            f"{file} is a matrix of {n} rows, and this model has {layers} layers",
            f"load a matrix of {layers} rows, or of {layers + 1} with one for the embeddings",
            "R844",
        )
    if rows is None:
        words = (HIDDEN_STATES,) if n > layers else (ADDED, "resid_pre")
        forms = " or ".join(f"`with rows: {word}` if {meaning(word, layers)}" for word in words)
        raise MethodError(
            f"{file} is a matrix of {n} rows, and does not say which row is which layer", f"write {forms}", "R950"
        )
    wanted = layers + (rows == HIDDEN_STATES)
    if n != wanted:
        other = ADDED if rows == HIDDEN_STATES else HIDDEN_STATES
        raise MethodError(
            f"{file} has {n} rows, and `rows: {rows}` on this model means {wanted}",
            f"write `with rows: {other}` if {meaning(other, layers)}",
            "R844",
        )
    meta = {"file": file, "rows": rows}
    if rows != HIDDEN_STATES:
        return checks.vector(file, name, dict(enumerate(matrix)), rows, arch, meta)
    return checks.vector(file, name, dict(enumerate(matrix[1:layers])), ADDED, arch, meta)


def write_vector(vector: Vector, arch: Architecture, path: Path) -> None:
    """Write raw vectors [layers, d] in float32, zero at layers without one, so that hotwire's scale 1 is
    `add … by 1`."""
    import torch

    d = vector.directions
    problem = None
    if d.reader is not None:
        problem = f"`{vector.name}` is an oblique eraser (leace), not an addition"
    elif d.unit.shape[1] > 1:
        problem = f"`{vector.name}` has {d.unit.shape[1]} directions a layer"
    elif vector.stream != ADDED:
        problem = f"`{vector.name}` is of {vector.stream}, and hotwire adds on {ADDED}"
    if problem:
        raise refusal(TITLE, problem, "export it as `.safetensors`, or another vector")
    rows = torch.zeros(arch.n_layers, arch.width(ADDED), dtype=torch.float64)
    rows[vector.layers] = d.raw_norm[:, :1].double() * d.unit[:, 0].double()
    matrix = rows.float()
    require_tensors(TITLE, {"the matrix": matrix}, EXPORT_LESS)
    torch.save(matrix, path)
