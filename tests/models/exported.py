"""What the weights of a type can carry: exported as a run does, read back by transformers, held against hooks.

Out: `exported(model)`, the entry of `docs/models.json`: where an ablation and an addition can be exported, and why not.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from hooked import IDS, Hooks
from tiny import tiny_tokenizer
from torch import Tensor

from steerdsl.engine.checkpoint import export_checkpoint
from steerdsl.engine.values import Values
from steerdsl.lang import recipe as r
from steerdsl.lang.check import check_source
from steerdsl.lang.source import Source
from steerdsl.methods.types import Directions, MethodError, Vector
from steerdsl.methods.weights import carrier, require_writers
from steerdsl.models.architecture import architecture
from steerdsl.models.sites import Architecture
from steerdsl.models.small import model_class

ADDED = ("resid_post", "resid_mid", "attn_out", "mlp_out")
Place = tuple[str, int]
Edit = Callable[[Tensor, Tensor], Tensor]


def exported(model: Any) -> dict[str, Any]:
    """Where exports are possible, each kind of edit tried once; a refusal says which identity fails."""
    config = model.config
    unknown = _refusal(lambda at: require_writers(config, at), ("resid_pre", 0))
    if unknown and "no causal language model" in unknown:
        return {"ablate": [], "add": [], "reason": unknown}
    arch = architecture(config)
    why = {at: _refusal(lambda at: require_writers(config, at), at) for at in arch.everywhere()}
    own = {s: [at for at in why if at[0] == s] for s in ("attn_out", "mlp_out")}
    able = [stream for stream, places in own.items() if places and not any(why[at] for at in places)]
    whole = not any(why.values())
    if whole:
        _hold(model, arch, "ablate v[0] everywhere", dict.fromkeys(arch.everywhere(), _ablated))
    elif able:
        layers = ",".join(str(layer) for _, layer in own[able[0]])
        _hold(model, arch, f"ablate v[0] on {able[0]} at layers {layers}", dict.fromkeys(own[able[0]], _ablated))
    middle = {s: [n for n in range(arch.n_layers) if s in arch.kind(n).sites] for s in ADDED}
    spots = [(stream, layers[len(layers) // 2]) for stream, layers in middle.items() if layers]
    adds = [at for at in spots if _refusal(lambda at: carrier(config, *at), at) is None]
    if adds:
        stream, layer = adds[0]
        _hold(model, arch, f"add v by 2 on {stream} at layers {layer}", {adds[0]: _added})
    found: dict[str, Any] = {"ablate": "everywhere" if whole else able, "add": [stream for stream, _ in adds]}
    return found if whole else {**found, "reason": next(reason for reason in why.values() if reason)}


def _refusal(attempt: Callable[[Place], Any], place: Place) -> str | None:
    """Why an edit at a place is refused, without its figure; None where it is not."""
    try:
        attempt(place)
    except MethodError as error:
        return re.sub(r" by [0-9.]+%", "", error.problem.partition("cannot carry it: ")[2])
    return None


def _ablated(h: Tensor, v: Tensor) -> Tensor:
    u = v[0] / v[0].norm()
    return h - (h @ u)[..., None] * u


def _added(h: Tensor, v: Tensor) -> Tensor:
    return h + 2 * v[len(v) // 2]


def _hold(
    model: Any, arch: Architecture, line: str, hooked: Mapping[Place, Callable[[Tensor, Tensor], Tensor]]
) -> None:
    """Export a steer and hold the folder's logits to those of hooks on the model itself."""
    draw = torch.Generator().manual_seed(3)
    raw = torch.randn(1, arch.d_model, generator=draw, dtype=torch.float64).repeat(arch.n_layers, 1) / 4
    with tempfile.TemporaryDirectory() as folder:
        _export(model, arch, line, raw, Path(folder) / "s")
        made = model_class(model.config).from_pretrained(Path(folder) / "s", dtype=torch.float32).eval()
    before, hooks = _logits(model), Hooks(model)
    for (stream, layer), edit in hooked.items():
        site = arch.read("attn_out" if stream == "resid_mid" else stream, layer)
        hooks.at(site, lambda h, edit=edit: edit(h, raw.float()))  # type: ignore[misc]
    wanted = _logits(model)
    hooks.clear()
    size = wanted.abs().max()
    assert (_logits(made) - wanted).abs().max() < 3e-4 * size < (wanted - before).abs().max(), line


def _export(model: Any, arch: Architecture, line: str, raw: Tensor, folder: Path) -> None:
    norm = raw[:, None].norm(dim=-1)
    directions = Directions((raw[:, None] / norm[..., None]).float(), norm)
    values = Values(arch.n_layers)
    values.vectors["v"] = Vector("v", directions, torch.arange(arch.n_layers), "resid_post")
    recipe, report = check_source(Source("x.steer", f'v = load "v.safetensors"; steer s {{ {line} }}'))
    assert recipe is not None, report.errors
    ops = next(step.ops for step in recipe.steps if isinstance(step, r.Steer))
    opened: Any = SimpleNamespace(model=model, tokenizer=tiny_tokenizer(), arch=arch)
    export_checkpoint(opened, ops, values, folder)


def _logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=IDS, attention_mask=torch.ones_like(IDS), use_cache=False).logits
    return found
