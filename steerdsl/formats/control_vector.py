"""GGUF control vectors, as llama.cpp and repeng read and write them: additions and nothing else.

In: a file, a `Vector`, or a steer of additions. Out: a `Vector` on resid_post, or a file in which
tensor `direction.N` is added to what block N (from 0) puts out. llama.cpp keeps no direction for layer
0 and takes float32 alone; what it would not take is refused here too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.formats import checks
from steerdsl.formats.checks import damaged
from steerdsl.formats.gguf_header import Declared, Value, header
from steerdsl.formats.steady import refusal
from steerdsl.formats.types import Carried
from steerdsl.lang import recipe as r
from steerdsl.methods.finite import EXPORT_LESS, require_tensors
from steerdsl.methods.ops.add import step
from steerdsl.methods.types import MethodError, Vector

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.sites import Architecture

TITLE = "a GGUF control vector"
KIND = "controlvector"
STREAM = "resid_post"
HINT, COUNT = f"{KIND}.model_hint", f"{KIND}.layer_count"
# `general.` describes a file.
KNOWN = re.compile(rf"general\..*|{re.escape(HINT)}|{re.escape(COUNT)}")
TENSOR = re.compile(r"direction\.(0|[1-9][0-9]{0,8})")
F32 = 0
NO_LAYER_0 = "llama.cpp has no place for a direction at layer 0"


def read(path: Path, name: str, arch: Architecture, position: r.Position | None = None) -> Vector:
    """Read directions with their lengths, so that `add … by 1` is what llama.cpp does at scale 1."""
    import numpy as np
    import torch

    checks.size(path)
    try:
        found = header(path)
    except (ValueError, OSError) as error:
        raise damaged(path.name, TITLE, error) from error
    hint = _hint(path.name, found.settings)
    layers = [_layer(path.name, tensor) for tensor in found.tensors]
    _backed(path, found.tensors)
    rows: dict[int, Tensor] = {}
    for layer, tensor in zip(layers, found.tensors, strict=True):
        data = np.fromfile(path, "<f4", tensor.numel, offset=tensor.offset).reshape(tensor.shape)
        rows[layer] = checks.numbers(path.name, tensor.name, torch.from_numpy(data), (1,))
    checks.no_position(path.name, position)
    vector = checks.vector(path.name, name, rows, STREAM, arch, {"file": path.name, "model_hint": hint})
    if hint and _plain(hint) != _plain(arch.family):
        warning = f"{path.name} says that it was made for {hint}, and this model is a {arch.family}"
        vector.directions.figures["warnings"] = [warning]  # type: ignore[index]
    return vector


def _layer(file: str, tensor: Declared) -> int:
    """The layer of a tensor, when it is a direction that llama.cpp reads too."""
    found = TENSOR.fullmatch(tensor.name)
    if found is None:
        raise _not_understood(file, f"a tensor {tensor.name!r}")
    if tensor.kind != F32:
        raise MethodError(
            f"{file}: {tensor.name} is of {_type(tensor.kind)}, and llama.cpp reads only F32",
            "write it again in float32",
            "R842",
        )
    if int(found[1]) == 0:
        raise MethodError(f"{file}: {NO_LAYER_0}", "write it again without direction.0", "R842")
    return int(found[1])


def _type(kind: int) -> str:
    """What ggml calls a type of number."""
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType(kind).name if kind in list(GGMLQuantizationType) else f"type {kind}"


def _backed(path: Path, tensors: Sequence[Declared]) -> None:
    """Refuse float32 tensors that are not all in the file, or that overlap."""
    size, end = path.stat().st_size, 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        if tensor.offset < end:
            raise damaged(path.name, TITLE, f"{tensor.name} overlaps the data of another tensor")
        end = tensor.offset + 4 * tensor.numel
        if end > size:
            raise damaged(path.name, TITLE, f"it ends before the data of {tensor.name} do")


def _hint(file: str, said: Mapping[str, Value]) -> str:
    """The model that the file names, after a look at everything else that it says."""
    kind = said.get("general.architecture")
    if kind != KIND:
        raise damaged(file, TITLE, f"its architecture is {kind!r}")
    unknown = next((key for key in said if not KNOWN.fullmatch(key)), None)
    if unknown is not None:
        raise _not_understood(file, f"a setting {unknown!r}")
    hint = said.get(HINT, "")
    if not isinstance(hint, str):
        raise damaged(file, TITLE, f"{HINT} is not text")
    return hint


def _not_understood(file: str, what: str) -> MethodError:
    return MethodError(
        f"{file} has {what}, whose meaning is not known", "if it means nothing, write the file again without it", "R846"
    )


def _plain(model: str) -> str:
    """A model's kind, in the one spelling for llama.cpp's names and transformers'."""
    plain = model.lower().removesuffix("_text").replace("_", "")
    return "llama" if plain == "mistral" else plain


def write_vector(vector: Vector, arch: Architecture, path: Path) -> None:
    """Write raw vectors, so that scale 1 is `add … by 1` at each of the vector's layers."""
    d = vector.directions
    live = [i for i, unit in enumerate(d.unit) if bool(unit.any())]
    problem = None
    if d.reader is not None:
        problem = f"`{vector.name}` is an oblique eraser (leace), not an addition"
    elif d.unit.shape[1] > 1:
        problem = f"`{vector.name}` has {d.unit.shape[1]} directions a layer"
    elif vector.stream != STREAM:
        problem = f"`{vector.name}` is of {vector.stream}, and llama.cpp adds on {STREAM}"
    elif any(int(vector.layers[i]) == 0 for i in live):
        problem = f"{NO_LAYER_0}, and `{vector.name}` has one"
    if problem:
        last = arch.n_layers - 1
        help = f"export a steer that adds it where it acts: `steer s {{ add {vector.name} by 1 at layers 1..{last} }}`"
        raise refusal(TITLE, problem, help)
    raw = d.raw_norm[:, :1].double() * d.unit[:, 0].double()
    _write({int(vector.layers[i]): raw[i] for i in live}, arch, path)


def require_place(op: r.Op, stream: str, layer: int, arch: Architecture) -> None:
    """Raise MethodError R847 where llama.cpp does not add."""
    if stream != STREAM:
        raise refusal(TITLE, f"llama.cpp adds on {STREAM}, and this steer on {stream}", f"add on {STREAM}")
    if layer == 0:
        raise refusal(TITLE, f"{NO_LAYER_0}, and this steer adds there", "add at layers from 1 on")


def write_steer(steer: Carried, path: Path) -> None:
    """Write what a steer of additions adds in all at each layer, its strengths worked in."""
    rows: dict[int, Tensor] = {}
    for act in steer.acts:
        require_place(act.op, act.stream, act.layer, steer.arch)
        added = step(act.operand, act.op.args["by"])
        rows[act.layer] = rows[act.layer] + added if act.layer in rows else added
    _write(rows, steer.arch, path)


def _write(rows: Mapping[int, Tensor], arch: Architecture, path: Path) -> None:
    from gguf import GGUFWriter

    tensors = {f"direction.{layer}": rows[layer].float() for layer in sorted(rows)}
    require_tensors(TITLE, tensors, EXPORT_LESS)
    writer = GGUFWriter(path, KIND)
    writer.add_string(HINT, arch.family)
    writer.add_uint32(COUNT, len(rows))
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
