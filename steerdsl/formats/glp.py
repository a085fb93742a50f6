"""GLP: a GGUF control vector that states its operation, where it acts, and how strongly.

In: the settings and directions of a GGUF file, or a steer of ablations. Out: what the file states, or the file. Its
tensors have llama.cpp's names, so a program that does not read `glp.mode` adds what should be projected out: what is
not understood is refused, as the specification asks of readers.
Source: GLP (GGUF Layer Projection), versions 1 and 2, spec/GLP.md of msuiche/weightless.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steerdsl.formats import checks, gguf_file
from steerdsl.formats.gguf_header import Value
from steerdsl.formats.steady import refusal
from steerdsl.formats.types import Carried
from steerdsl.lang import recipe as r
from steerdsl.methods.finite import EXPORT_LESS, require_tensors
from steerdsl.methods.numbers import each, plain
from steerdsl.methods.ops.ablate import basis
from steerdsl.methods.types import MethodError
from steerdsl.registry import find

if TYPE_CHECKING:
    from torch import Tensor

TITLE = "a GLP vector"
PREFIX = "glp."
KIND = "controlvector"
HOOKS: Mapping[str, str] = {
    "residual_stream_post_layer": "resid_post",
    "attn_out_pre_residual": "attn_out",
    "ffn_out_pre_residual": "mlp_out",
}
OPERATIONS: Mapping[str, Literal["ablate", "add"]] = {"project": "ablate", "add": "add"}
VERSIONS = (1, 2)
SCALES = ("glp.dir_scales", "glp.layer_scales")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
SKEW = 1e-4  # how far an orthonormal basis in float32 may be from one
INSTEAD = "export a steer of one `ablate`, or run the steer instead"


@dataclass(frozen=True, slots=True)
class Stated:
    """What a file says: the operation, the stream and the strength that its directions were made for, how many a layer
    has, and the stream that they were read on."""

    operation: Literal["ablate", "add"]
    stream: str
    strength: float | None
    rank: int
    derived: str
    content: str | None
    layers: str | None

    @property
    def words(self) -> str:
        """The operation as a recipe writes it."""
        strength = 1.0 if self.strength is None else self.strength
        share = "" if strength == 1 else f" by {100 * strength:.6g}%"
        by = f" by {strength:.6g}" if self.operation == "add" else share
        return f"{self.operation}{by} on {self.stream}"


def stated(file: str, settings: Mapping[str, Value]) -> Stated | None:
    """What a file's `glp.*` settings say; None for a file without them. Raises MethodError R846 for what is not known
    here, and for what would change the meaning of the rest."""
    if not any(key.startswith(PREFIX) for key in settings):
        return None
    version = _number(file, settings, "glp.spec_version", 1)
    if version not in VERSIONS:
        raise _unknown(file, f"glp.spec_version is {version:g}, and 1 and 2 are known")
    mode = settings.get("glp.mode", "add")
    if not isinstance(mode, str) or mode not in OPERATIONS:
        raise _unknown(file, f"glp.mode is {mode!r}, and `project` and `add` are known")
    hook = settings.get("glp.hook_point", "residual_stream_post_layer")
    if not isinstance(hook, str) or hook not in HOOKS:
        raise _unknown(file, f"glp.hook_point is {hook!r}, and {checks.listed(HOOKS)} are known")
    scales = next((key for key in SCALES if key in settings), None)
    if scales:
        raise _unknown(file, f"{scales} gives directions strengths of their own, which a vector does not have")
    rank = _number(file, settings, "glp.rank", 1)
    if rank != int(rank) or not 1 <= rank <= 1024 or (rank > 1 and version < 2):
        raise _unknown(file, f"glp.rank is {rank:g} in version {version:g}")
    if rank > 1 and settings.get("glp.orthonormal") not in (True, "true"):
        raise _unknown(file, "it has several directions a layer and does not say that they are orthonormal")
    strength = _number(file, settings, "glp.alpha_default", None)
    derived = settings.get("glp.derived_at", hook)
    content, layers = (settings.get(key) for key in ("glp.content_sha256", "glp.layer_ids_zero_based"))
    return Stated(
        OPERATIONS[mode],
        HOOKS[hook],
        strength,
        int(rank),
        HOOKS.get(derived, "another place") if isinstance(derived, str) else "another place",
        content if isinstance(content, str) else None,
        layers if isinstance(layers, str) else None,
    )


def _number(file: str, settings: Mapping[str, Value], key: str, default: float | None) -> float:
    """A setting as a number; some programs write numbers as text."""
    value = settings.get(key, default)
    try:
        found = float(value) if value is not None and not isinstance(value, bool) else None
    except ValueError:
        found = None
    if key not in settings:
        return default  # type: ignore[return-value]
    if found is None or not isfinite(found):
        raise _unknown(file, f"{key} is {value!r}, which is not a number")
    return found


def _unknown(file: str, what: str) -> MethodError:
    return MethodError(
        f"{file}: {checks.brief(what)}", "load a file that states something else, or ask its author", "R846"
    )


def check(file: str, said: Stated, rows: Mapping[int, Tensor], data: Iterable[bytes]) -> None:
    """Raise MethodError where directions [k, d] by layer, whose bytes are `data`, are not what the file states."""
    import torch

    ids = ",".join(str(layer) for layer in sorted(rows))
    if said.layers is not None and re.sub(r"\s", "", said.layers) != ids:
        raise checks.damaged(file, TITLE, "its list of layers is not that of its directions")
    digest = hashlib.sha256()
    for part in data:
        digest.update(part)
    if said.content is not None and said.content.lower() != digest.hexdigest():
        raise checks.damaged(file, TITLE, "its directions do not have the hash that it states")
    for layer, found in rows.items():
        if len(found) != said.rank:
            raise checks.damaged(file, TITLE, f"layer {layer} has {len(found)} directions, and it states {said.rank}")
        if said.rank > 1 and not torch.allclose(found @ found.T, torch.eye(said.rank, dtype=found.dtype), atol=SKEW):
            raise checks.damaged(file, TITLE, f"the directions of layer {layer} are not orthonormal, as it states")


def _base_model(steer: Carried) -> dict[str, str | float]:
    """The model by GGUF's own keys; of a folder, its last part."""
    organisation, _, name = steer.model_id.rpartition("/")
    hub = HUB_ID.fullmatch(steer.model_id) is not None
    said = {"name": name, "organization": organisation if hub else ""}
    said["version"] = steer.revision if steer.revision and COMMIT.fullmatch(steer.revision) else ""
    said["repo_url"] = f"https://huggingface.co/{steer.model_id}" if hub else ""
    named = {f"general.base_model.0.{key}": value for key, value in said.items() if value}
    return {"general.base_model.count": 1, **named}


def require_ops(ops: Sequence[r.Op]) -> None:
    """Raise MethodError R847 for ablations that one file cannot state together."""
    if not any(find("op", op.name).effect == "removes" for op in ops):
        return
    if any(find("op", op.name).effect != "removes" for op in ops):
        raise refusal(TITLE, "it states one operation, and this steer both adds and ablates", INSTEAD)
    if len({tuple(map(plain, each(op.args.get("by", 1.0)))) for op in ops}) > 1:
        raise refusal(TITLE, "it states one strength, and this steer has several", INSTEAD)
    if len({stream for op in ops for stream in (s.name for s in op.streams)}) > 1 or any(op.everywhere for op in ops):
        raise refusal(TITLE, "it states one place in the block, and this steer has several", INSTEAD)


def require_place(stream: str, layer: int) -> None:
    """Raise MethodError R847 where a file cannot say that an ablation acts."""
    if stream not in HOOKS.values():
        raise refusal(TITLE, f"it has no name for {stream}", f"ablate on {checks.listed(HOOKS.values())}")
    if layer == 0:
        raise refusal(TITLE, "it has no place for a direction at layer 0", "ablate at layers from 1 on")


def write(steer: Carried, path: Path) -> None:
    """Write what a steer of ablations removes, an orthonormal basis for each layer."""
    found: dict[int, Tensor] = {}
    for act in steer.acts:
        require_place(act.stream, act.layer)
        if act.operand.reader is not None:
            raise refusal(TITLE, "an oblique eraser (leace) has an offset", INSTEAD)
        if act.layer in found:
            raise refusal(TITLE, f"two ablations at layer {act.layer} act one after the other", INSTEAD)
        assert act.operand.unit is not None
        found[act.layer] = basis(act.operand.unit).float()
    streams, ranks = {act.stream for act in steer.acts}, {len(rows) for rows in found.values()}
    if len(streams) > 1 or len(ranks) > 1:
        raise refusal(TITLE, "its layers must have one place and one number of directions", INSTEAD)
    rank = ranks.pop()
    tensors = {
        f"direction.{layer}" + (f".{j}" if j else ""): rows[j]
        for layer, rows in sorted(found.items())
        for j in range(rank)
    }
    require_tensors(TITLE, tensors, EXPORT_LESS)
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors.values()))
    settings: dict[str, str | float] = {
        f"{KIND}.model_hint": steer.arch.family,
        f"{KIND}.layer_count": len(found),
        **_base_model(steer),
        "glp.spec_version": 1 if rank == 1 else 2,
        "glp.mode": "project",
        "glp.hook_point": next(hook for hook, stream in HOOKS.items() if stream in streams),
        "glp.alpha_default": plain(steer.acts[0].op.args.get("by", 1.0)),
        "glp.rank": rank,
        "glp.orthonormal": True,
        "glp.layer_ids_zero_based": ",".join(map(str, sorted(found))),
        "glp.content_sha256": digest.hexdigest(),
    }
    gguf_file.write(path, KIND, settings, tensors)
