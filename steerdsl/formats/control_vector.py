"""GGUF control vectors, as llama.cpp, repeng, EasySteer and GLP keep them.

In: a file, a `Vector`, or a steer. Out: a `Vector` on resid_post or where a GLP file states, or a file in which
tensor `direction.N` is added to what block N (from 0) puts out. llama.cpp keeps no direction for layer
0 and takes float32 alone; what it would not take is refused here too. EasySteer numbers layers in the same way, has
layer 0 too, and keeps notes of its analysis. A steer of ablations becomes a GLP vector (`formats.glp`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.formats import checks, gguf_file, glp
from steerdsl.formats.checks import damaged
from steerdsl.formats.gguf_header import Declared, Value, header
from steerdsl.formats.glp import require_ops as require_ops
from steerdsl.formats.steady import refusal
from steerdsl.formats.types import Carried
from steerdsl.forms.files import Misread
from steerdsl.forms.text import parse_json
from steerdsl.lang import recipe as r
from steerdsl.methods.finite import EXPORT_LESS, require_tensors
from steerdsl.methods.ops.add import step
from steerdsl.methods.types import MethodError, Vector
from steerdsl.registry import find

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.sites import Architecture

TITLE = "a GGUF control vector"
KIND = "controlvector"
STREAM = "resid_post"
HINT, COUNT = f"{KIND}.model_hint", f"{KIND}.layer_count"
METHOD, EASYSTEER = f"{KIND}.method", f"{KIND}.easysteer"  # how EasySteer made it; every file of its has the first
ADDED = "hidden_states"  # the component that EasySteer adds to at a block's output
# `general.` describes a file. GLP's version says what its settings mean.
KNOWN = re.compile(rf"general\..*|glp\..*|{re.escape(HINT)}|{re.escape(COUNT)}")
TENSOR = re.compile(r"direction\.(0|[1-9][0-9]{0,8})(?:\.([1-9][0-9]{0,3}))?")
F32 = 0
NO_LAYER_0 = "llama.cpp has no place for a direction at layer 0"


def read(path: Path, arch: Architecture, said: r.Load) -> Vector:
    """Read directions with their lengths, so that `add … by 1` is what llama.cpp does at scale 1."""
    import numpy as np
    import torch

    checks.size(path)
    try:
        found = header(path)
    except (ValueError, OSError) as error:
        raise damaged(path.name, TITLE, error) from error
    hint = _hint(path.name, found.settings)
    stated = glp.stated(path.name, found.settings)
    from_0 = METHOD in found.settings and stated is None
    places = [_place(path.name, tensor, from_0, stated is not None) for tensor in found.tensors]
    _backed(path, found.tensors)
    parts: dict[int, dict[int, Tensor]] = {}
    data: dict[tuple[int, int], bytes] = {}
    for (layer, j), tensor in zip(places, found.tensors, strict=True):
        values = np.fromfile(path, "<f4", tensor.numel, offset=tensor.offset).reshape(tensor.shape)
        data[layer, j] = values.tobytes()
        parts.setdefault(layer, {})[j] = checks.numbers(path.name, tensor.name, torch.from_numpy(values), (1,))
    rows = {layer: _stacked(path.name, layer, own) for layer, own in parts.items()}
    checks.no_position(path.name, said.position)
    if hint and _plain(hint) != _plain(arch.family):
        warnings = [f"{path.name} says that it was made for {hint}, and this model is a {arch.family}"]
    else:
        warnings = []
    meta: dict[str, Any] = {"file": path.name, "model_hint": hint}
    stream = STREAM
    if stated is not None:
        glp.check(path.name, stated, rows, (data[place] for place in sorted(data)))
        stream = stated.stream
        meta |= {"operation": stated.operation, "strength": stated.strength}
        if stated.derived != stream:
            warnings.append(f"{path.name} states that it acts on {stream} and was read on {stated.derived}")
    return checks.vector(path.name, said.name, rows, stream, arch, meta, warnings)


def _stacked(file: str, layer: int, rows: Mapping[int, Tensor]) -> Tensor:
    """The directions of a layer, [k, d]; they are numbered from 0 without a gap and equally long."""
    import torch

    found = [rows[j] for j in sorted(rows)]
    if sorted(rows) != list(range(len(rows))) or len({len(row) for row in found}) > 1:
        raise damaged(
            file, TITLE, f"layer {layer} has directions {sorted(rows)} of {[len(row) for row in found]} numbers"
        )
    return torch.stack(found)


def states(path: Path) -> str | None:
    """What a file says of its operation, in words; None where it says nothing, or cannot be read."""
    try:
        said = glp.stated(path.name, header(path).settings)
    except (ValueError, OSError, MethodError):
        return None  # reading it says why
    return None if said is None else said.words


def _place(file: str, tensor: Declared, from_0: bool, several: bool) -> tuple[int, int]:
    """The layer of a tensor, and which of its directions it is, when it is one that its program reads too."""
    found = TENSOR.fullmatch(tensor.name)
    if found is None or (found[2] and not several):
        raise _not_understood(file, f"a tensor {tensor.name!r}")
    if tensor.kind != F32:
        raise MethodError(
            f"{file}: {tensor.name} is of {_type(tensor.kind)}, and llama.cpp reads only F32",
            "write it again in float32",
            "R842",
        )
    if int(found[1]) == 0 and not from_0:
        raise MethodError(f"{file}: {NO_LAYER_0}", "write it again without direction.0", "R842")
    return int(found[1]), int(found[2] or 0)


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
    # EasySteer's older files have what its analysis found as further settings of a control vector.
    noted = f"{KIND}." if METHOD in said else HINT
    unknown = next((key for key in said if not KNOWN.fullmatch(key) and not key.startswith(noted)), None)
    if unknown is not None:
        raise _not_understood(file, f"a setting {unknown!r}")
    if EASYSTEER in said:
        _require_added(file, said[EASYSTEER])
    hint = said.get(HINT, "")
    if not isinstance(hint, str):
        raise damaged(file, TITLE, f"{HINT} is not text")
    return hint


def _require_added(file: str, written: Value) -> None:
    """Refuse what EasySteer does not add to the output of a block, by the JSON that it keeps."""
    try:
        said = parse_json(written if isinstance(written, str) else "", {"version": int, "component": str | None})
    except Misread as error:
        raise damaged(file, TITLE, error) from error
    if said["version"] != 1:
        raise _not_understood(file, f"{EASYSTEER} of version {said['version']}")
    if said["component"] not in (None, ADDED):
        raise _not_understood(file, f"directions of EasySteer's component {said['component']!r}")


def _not_understood(file: str, what: str) -> MethodError:
    return MethodError(
        f"{file} has {checks.brief(what)}, whose meaning is not known",
        "if it means nothing, write the file again without it",
        "R846",
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
    """Raise MethodError R847 where llama.cpp does not add, and where a GLP file does not ablate."""
    if find("op", op.name).effect == "removes":
        glp.require_place(stream, layer)
        return
    if stream != STREAM:
        raise refusal(TITLE, f"llama.cpp adds on {STREAM}, and this steer on {stream}", f"add on {STREAM}")
    if layer == 0:
        raise refusal(TITLE, f"{NO_LAYER_0}, and this steer adds there", "add at layers from 1 on")


def write_steer(steer: Carried, path: Path) -> None:
    """Write what a steer of additions adds in all at each layer, its strengths worked in; what ablations remove."""
    require_ops([act.op for act in steer.acts])
    if any(find("op", act.op.name).effect == "removes" for act in steer.acts):
        glp.write(steer, path)
        return
    rows: dict[int, Tensor] = {}
    for act in steer.acts:
        require_place(act.op, act.stream, act.layer, steer.arch)
        added = step(act.operand, act.op.args["by"])
        rows[act.layer] = rows[act.layer] + added if act.layer in rows else added
    _write(rows, steer.arch, path)


def _write(rows: Mapping[int, Tensor], arch: Architecture, path: Path) -> None:
    tensors = {f"direction.{layer}": rows[layer].float() for layer in sorted(rows)}
    require_tensors(TITLE, tensors, EXPORT_LESS)
    gguf_file.write(path, KIND, {HINT: arch.family, COUNT: len(rows)}, tensors)
