"""The package's own vectors and planes: safetensors with JSON in the header.

In: a file that claims to be one, a `Vector` or a `Plane`. Out: a `Vector` whose every part was checked,
or the file. The layout is that of `store.vector_files`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.formats import checks
from steerdsl.formats.checks import damaged
from steerdsl.forms.files import Misread
from steerdsl.forms.form import misfit
from steerdsl.forms.kept import VECTOR
from steerdsl.forms.tensors import read_tensors
from steerdsl.forms.text import parse_json
from steerdsl.lang import recipe as r
from steerdsl.methods.types import MethodError, Plane, Vector
from steerdsl.store.vector_files import FORMAT, load_vector, save_plane, save_vector

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.sites import Architecture

TITLE = "a vector of steerdsl"
# Name of each tensor: its dimensions, and whether every file has it.
TENSORS: Mapping[str, tuple[int, bool]] = {
    "directions": (2, True),
    "raw_norms": (1, True),
    "layers": (1, True),
    "reader": (2, False),
    "offset": (2, False),
    "mean_positive": (2, False),
    "mean_negative": (2, False),
}
ROUNDING = 1e-3  # how far the norm of a unit row in float32 may be from 1


def write_vector(vector: Vector, arch: Architecture, path: Path) -> None:
    """Write a vector whole, with its class means and what is known of it."""
    save_vector(vector, path)


def write_plane(plane: Plane, path: Path) -> None:
    """Write a plane's basis."""
    save_plane(plane, path)


def read(path: Path, arch: Architecture, said: r.Load) -> Vector:
    """Read a vector; raises MethodError for a file that is damaged, contradicts itself, or belongs to another model."""
    checks.size(path)
    header, tensors = _opened(path)
    _check_header(path.name, header)
    _check_tensors(path.name, header, tensors)
    checks.no_position(path.name, said.position)
    width = tensors["directions"].shape[-1]
    checks.fits(path.name, arch, header["stream"], width, tensors["layers"].tolist())
    return load_vector(path, said.name)


def _opened(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        metadata, tensors = read_tensors(path)
        return parse_json(metadata.get("steerdsl", "{}"), name="its header", finite=False), tensors
    except (OSError, Misread) as error:
        raise damaged(path.name, "a safetensors file", error) from error


def _check_header(file: str, header: Any) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise damaged(file, TITLE, "its header does not say so")
    if header.get("kind") == "plane":
        raise damaged(file, TITLE, "it is a plane")
    if (wrong := misfit(header, VECTOR)) is not None:
        raise damaged(file, TITLE, f"in its header {wrong}")
    unknown = sorted(set(header) - set(VECTOR))
    if unknown:
        raise _not_understood(file, f"its header says {unknown[0]}")


def _check_tensors(file: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    import torch

    unknown = sorted(set(tensors) - set(TENSORS))
    if unknown:
        raise _not_understood(file, f"it has a tensor {unknown[0]}")
    for key, (dims, always) in TENSORS.items():
        if key not in tensors:
            if always:
                raise damaged(file, TITLE, f"it has no {key}")
        elif key != "layers":
            checks.numbers(file, key, tensors[key], (dims,))
    layers, k = tensors["layers"], header["per_layer"]
    if layers.dtype != torch.int64 or layers.ndim != 1 or k < 1 or len(layers) % k:
        raise MethodError(f"{file}: layers are not {k} whole numbers a layer", "export the vector again", "R842")
    own = layers[::k].tolist()
    if layers.tolist() != [layer for layer in own for _ in range(k)] or len(set(own)) < len(own):
        raise MethodError(f"{file}: layers do not come once each, {k} rows together", "export the vector again", "R842")
    _check_shapes(file, header, tensors, own)


def _check_shapes(file: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor], own: list[int]) -> None:
    """Every tensor has as many rows and columns as the directions ask for, and unit rows are unit."""
    n, width = tensors["directions"].shape
    extracted = len(header["meta"].get("own_layers", own))
    wanted = {
        "raw_norms": (len(tensors["layers"]),),
        "directions": (len(tensors["layers"]), width),
        "reader": (n, width),
        "offset": (len(own), width),
        "mean_positive": (extracted, width),
        "mean_negative": (extracted, width),
    }
    for key, shape in wanted.items():
        if key in tensors and tuple(tensors[key].shape) != shape:
            found = ", ".join(map(str, tensors[key].shape))
            problem = f"{file}: {key} has the shape [{found}], not [{', '.join(map(str, shape))}]"
            raise MethodError(problem, "export the vector again", "R842")
    norms = tensors["directions"].double().norm(dim=-1)
    if bool(((norms > 0) & ((norms - 1).abs() > ROUNDING)).any()):
        raise damaged(file, TITLE, "its directions are not of length 1")
    if not bool((norms > 0).any()):
        raise MethodError(f"{file} holds no direction that is not zero", "load a file with directions", "R849")


def _not_understood(file: str, what: str) -> MethodError:
    return MethodError(
        f"{file}: {what}, which this version does not know", "load it with the version that wrote it", "R846"
    )
