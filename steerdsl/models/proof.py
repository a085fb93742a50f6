"""The sums that a small copy showed, held on the real weights, once for each set of weights.

In: an opened model and its architecture. Out: nothing, or RecipeError M642 where a block does not add up. A note in
the cache says which weights have passed, so that a second opening computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.cache import cache_root
from steerdsl.models.kept_sites import key
from steerdsl.models.recorded import prompt
from steerdsl.models.sites import Architecture, Site

# How far a sum may be off, as a share of the stream's largest number: some roundings of the dtype.
_SHARE: Mapping[torch.dtype, float] = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 8e-3}
_COARSE = 4e-2  # bfloat16, and whatever is quantised


def require_sums(model: Any, arch: Architecture, weights: str | None) -> None:
    """Hold every block of `model` to the sums of `arch`. `weights`: the hash under which this is remembered.
    Raises RecipeError M642."""
    dtype = next(iter(model.parameters())).dtype
    note = cache_root() / "sites" / f"{key(model.config)}.{weights}.{str(dtype).removeprefix('torch.')}"
    if weights is not None and note.exists():
        return
    worst = _worst(model, arch)
    if worst is not None and worst[0] > _SHARE.get(dtype, _COARSE):
        off, layer = worst
        title = f"layer {layer} of this {arch.family} model does not add up as its architecture does"
        notes = (f"what it gives differs from the sum of what is added by {off:.1%} of its largest number",)
        way_out = "check the model's files, or choose another model"
        raise RecipeError([Diagnostic("M642", title, (), notes, way_out)], Exit.FAILED)
    if weights is not None:
        with suppress(OSError):  # a cache that cannot be written costs time only
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()


def _worst(model: Any, arch: Architecture) -> tuple[float, int] | None:
    """The largest error of a block's sum and the block; None where no sum is plain or numbers are not finite."""
    layers = [layer for layer in range(arch.n_layers) if not arch.normed(layer)]
    places = {
        (stream, layer): arch.read(stream, layer)
        for layer in layers
        for stream in ("resid_pre", "resid_post", *arch.kind(layer).writes)
    }
    kept = _read(model, places)
    errors = []
    for layer in layers:
        kind, post = arch.kind(layer), kept["resid_post", layer]
        if not bool(post.isfinite().all()):
            return None
        total = kept["resid_pre", layer] + torch.stack([kept[w, layer] for w in kind.writes]).sum(0)
        errors.append((float((kind.gain * total - post).abs().max() / post.abs().max().clamp_min(1e-30)), layer))
    return max(errors, default=None)


def _read(model: Any, places: Mapping[tuple[str, int], Site]) -> dict[tuple[str, int], Tensor]:
    """The streams of a short prompt, [tokens, width] in float32 on the CPU."""
    kept: dict[tuple[str, int], Tensor] = {}
    handles = []

    def keep(name: tuple[str, int], site: Site, value: Any) -> None:
        value = value[0] if isinstance(value, tuple | list) else value
        kept[name] = value.detach().to("cpu", torch.float32).flatten(0, -2) * site.factor

    for name, site in places.items():
        module = model.get_submodule(site.module)
        if site.side == "output":
            handles.append(module.register_forward_hook(lambda _m, _a, out, n=name, s=site: keep(n, s, out)))
        else:
            handles.append(
                module.register_forward_pre_hook(
                    lambda _m, args, kw, n=name, s=site: keep(n, s, next(iter((*args, *kw.values())))),
                    with_kwargs=True,
                )
            )
    ids = prompt(model.config.get_text_config().vocab_size)[:1, :3].to(model.get_input_embeddings().weight.device)
    try:
        with torch.no_grad():
            # The base model: no block reads what the output layer gives.
            model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return kept
