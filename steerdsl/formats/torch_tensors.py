"""Directions that others keep with torch.save: Arditi's `direction.pt` and `mean_diffs.pt`, matrices with a
row a layer, and vectors of the package steering-vectors.

In: a file. Out: a `Vector`. A bare direction names no layer, so it acts wherever it is used; the others
have one direction a layer. Read with `weights_only`: nothing in the file runs.
Source: Arditi et al. 2024 (directions are differences of means of the blocks' input).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.formats import checks, layer_matrix
from steerdsl.formats.unpickle import Pickled, opened
from steerdsl.lang import recipe as r
from steerdsl.lang.visible import in_line
from steerdsl.methods.types import Directions, MethodError, Vector

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.sites import Architecture

ARDITI = "resid_pre"
# The layer types of steering-vectors, all of them outputs of modules.
LAYER_TYPES: Mapping[str, str] = {
    "decoder_block": "resid_post",
    "self_attn": "attn_out",
    "mlp": "mlp_out",
    "input_layernorm": "attn_norm_out",
    "post_attention_layernorm": "mlp_norm_out",
}
MOST_NAMED, LONGEST_NAMED = 8, 40  # how many names of a file are in a message, and how long each
SAME_ON_GEMMA = ("decoder_block", "input_layernorm")  # it has norms behind attention and MLP as well


def read(path: Path, arch: Architecture, said: r.Load) -> Vector:
    """Read a direction [d], a matrix [layers, d] or [layers + 1, d], differences of means [positions, layers, d], or
    a SteeringVector."""
    import torch

    name, position = said.name, said.position
    found = opened(path)
    if said.tensor is not None:
        found = _named(path.name, found, said.tensor)
    if isinstance(found, Pickled):
        found = vars(found)
    if isinstance(found, Mapping):
        checks.no_position(path.name, position)
        if said.tensor is None:
            _no_rows_of_dict(path.name, found, said)
        _no_rows(path.name, said)
        return _steering_vector(path.name, name, found, arch)
    if not isinstance(found, torch.Tensor):
        kind = type(found).__name__
        raise MethodError(
            f"{path.name} holds a {kind}, not a direction", "save one tensor, or a SteeringVector", "R842"
        )
    tensor = checks.numbers(path.name, "the tensor", found, (1, 2, 3))
    if tensor.ndim == 2:
        checks.no_position(path.name, position)
        return layer_matrix.read(path.name, name, tensor, said.rows, arch)
    _no_rows(path.name, said)
    if tensor.ndim == 1:
        checks.no_position(path.name, position)
        return _everywhere(path.name, name, tensor, arch)
    index = _index(path.name, len(tensor), position)
    if tensor.shape[1] != arch.n_layers:
        raise MethodError(
            f"{path.name} has directions of {tensor.shape[1]} layers, and this model has {arch.n_layers}",
            "load a vector that was made for this model",
            "R844",
        )
    meta = {"file": path.name, "position": f"token {index - len(tensor)}"}
    return checks.vector(path.name, name, dict(enumerate(tensor[index])), ARDITI, arch, meta)


def _named(file: str, found: Any, key: str) -> Any:
    """The entry of a dict that a recipe names."""
    if not isinstance(found, Mapping):
        raise MethodError(f"{file} is not a dict of tensors", "leave out `tensor`", "R951")
    if key not in found:
        names = [f"`{_short(name)}`" for name in list(found)[:MOST_NAMED] if isinstance(name, str)]
        help = f"name one of its tensors: {checks.listed(names)}" if names else "leave out `tensor`"
        raise MethodError(f"{file} does not have a tensor `{_short(key)}`", help, "R951")
    return found[key]


def _short(name: str) -> str:
    """A name of a stranger's file, on one line."""
    return in_line(name if len(name) <= LONGEST_NAMED else f"{name[:LONGEST_NAMED]}…")


def _no_rows(file: str, said: r.Load) -> None:
    """Refuse what a recipe says of rows where there is no matrix, and of a tensor where there is a whole vector."""
    if said.rows is not None:
        raise MethodError(f"{file} is not a matrix with a row a layer", "leave out `rows`", "R951")


def _no_rows_of_dict(file: str, found: Mapping[Any, Any], said: r.Load) -> None:
    """Refuse what a recipe says of the rows of a dict of tensors, without saying of which."""
    names = [_short(key) for key, value in found.items() if type(key) is str and type(value).__name__ == "Tensor"]
    if said.rows is not None and names:
        shown = checks.listed([f"`{name}`" for name in names[:MOST_NAMED]])
        help = f'name one of them ({shown}), as in `load "{file}" with tensor: "{names[0]}", rows: {said.rows}`'
        raise MethodError(f"{file} is a dict of {len(found)} entries, and `rows` is of one tensor", help, "R951")


def _everywhere(file: str, name: str, direction: Tensor, arch: Architecture) -> Vector:
    """One direction as every layer's."""
    import torch

    n = arch.n_layers
    one = checks.vector(file, name, {0: direction}, ARDITI, arch, {"file": file, "from_layers": []})
    d = one.directions
    spread = Directions(d.unit.expand(n, -1, -1), d.raw_norm.expand(n, -1))
    return replace(one, directions=spread, layers=torch.arange(n))


def _index(file: str, n: int, position: r.Position | None) -> int:
    """Which of the last `n` token positions of the template a recipe asks for."""
    number = {"last_token": -1, "token": position.number}.get(position.name) if position else -1 if n == 1 else None
    if number is None or not -n <= number < 0:
        raise MethodError(
            f"{file} has directions at {n} positions, the tokens {-n} to -1",
            f'name one of them, as in `load "{file}" at token -1`',
            "R848",
        )
    return n + number


def _steering_vector(file: str, name: str, found: Mapping[Any, Any], arch: Architecture) -> Vector:
    """The fields of a SteeringVector: `layer_activations` by layer number, and `layer_type`."""
    from torch import Tensor

    kind = found.get("layer_type", "decoder_block")
    rows = found.get("layer_activations")
    extra = sorted(str(key) for key in set(found) - {"layer_activations", "layer_type"})
    if extra or not isinstance(kind, str) or kind not in LAYER_TYPES:
        what = f"a field {extra[0]}" if extra else f"the layer type {kind!r}"
        named = next((key for key, value in found.items() if type(key) is str and isinstance(value, Tensor)), None)
        help = "save a SteeringVector unchanged"
        if extra and named is not None:
            help += f', or name the tensor to read, as in `load "{file}" with tensor: "{_short(named)}"`'
        raise MethodError(f"{file} has {what}, whose meaning is not known", help, "R846")
    if arch.family.startswith("gemma") and kind not in SAME_ON_GEMMA:
        raise MethodError(
            f"{file} is of {kind}, whose output has no name on {arch.family}", "load one of decoder_block", "R846"
        )
    if not isinstance(rows, Mapping) or not rows or not all(type(layer) is int for layer in rows):
        raise MethodError(f"{file} gives no tensor for each layer", "save a SteeringVector unchanged", "R842")
    directions = {n: checks.numbers(file, f"layer {n}", row, (1,)) for n, row in rows.items()}
    return checks.vector(file, name, directions, LAYER_TYPES[kind], arch, {"file": file})
