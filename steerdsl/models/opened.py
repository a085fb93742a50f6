"""Opens a model for running: weights on their device, tokenizer, and what the record says of both.

In: a `Located` folder, a dtype and a device. Out: `Opened`, whose model is in eval mode with its
parameters as transformers loads them. They are not frozen on purpose: on processors with bfloat16
instructions generation from frozen parameters is much slower, so runs use `torch.no_grad` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from steerdsl.models.adapters import Adapter, attach
from steerdsl.models.catalog import Located
from steerdsl.models.device import choose_device, choose_dtype
from steerdsl.models.facts import ModelFacts, facts_of
from steerdsl.models.generation import neutral
from steerdsl.models.loading import load
from steerdsl.models.proof import require_sums
from steerdsl.models.quantization import require_quantised, settings
from steerdsl.models.quiet import quiet
from steerdsl.models.sites import Architecture
from steerdsl.models.small import model_class
from steerdsl.models.spread import WIDE, devices, placement, with_folder
from steerdsl.models.weights import weights_hash


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the record says about a model: plain values, sizes from the config, hashes as hex SHA-256."""

    id: str
    path: str
    revision: str | None
    source: str
    weights_sha256: str | None
    dtype: str
    device: str
    family: str
    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    vocab: int
    max_positions: int | None
    tokenizer_sha256: str | None
    template_sha256: str | None
    has_template: bool
    verbatim_tokenizer: bool
    stop_ids: tuple[int, ...]
    adapter: str | None = None
    adapter_revision: str | None = None
    adapter_sha256: str | None = None
    quantization: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that can run: `model` is transformers' causal LM, `arch` its sites."""

    model: Any
    tokenizer: Any
    arch: Architecture
    info: ModelInfo


def open_model(located: Located, *, dtype: str | None = "auto", device: str = "auto") -> Opened:
    """Load the weights. A model that does not fit the device is spread over others by accelerate.

    Raises RecipeError: M605 (not a causal language model), M606 (files missing or damaged), M608 (no
    such device), M609 (no such dtype), M613 (larger than the device's memory), M617 (weights that the
    config has no place for), M619 (quantised weights that cannot be opened here), M662 and M663 (an adapter
    that cannot be used), M664 (a quantisation that cannot be made here), M642 (blocks that do not add up).
    """
    place = choose_device(device)
    kind = choose_dtype(dtype, place)
    facts = facts_of(located)
    spread = with_folder(placement(located, kind, place, spread=device in WIDE))
    options = spread.options
    if located.quantization is not None:
        asked = settings(located.id, located.quantization, facts.config, place, kind)
        options = {"device_map": {"": str(place)}, **options, "quantization_config": asked}
    elif facts.quantization is not None:
        options = {"device_map": {"": str(place)}, **options}
    model = load(located, facts.config, kind, neutral(facts.stops), options)
    if located.quantization is not None:
        require_quantised(model, located.id, located.quantization)
    if "device_map" not in options:
        model = model.to(place)
    if located.adapter is not None:
        model = attach(model, located.adapter, located.id)
    model.offloaded = spread.offload  # for as long as the model is there
    info = model_info(facts, str(kind).removeprefix("torch."), devices(model))
    plain = located.adapter is None and located.quantization is None
    require_sums(model.eval(), facts.arch, info.weights_sha256 if plain else None)
    return Opened(model, facts.tokenizer, facts.arch, info)


def open_remote(located: Located, dtype: str) -> Opened:
    """The model without weights, as it is described to a server that has them: its modules and settings.
    Raises RecipeError M605 (not a causal language model)."""
    facts = facts_of(located)
    with quiet(), torch.device("meta"):
        model = model_class(facts.config).from_config(facts.config)
    model.generation_config = neutral(facts.stops)
    return Opened(model.eval(), facts.tokenizer, facts.arch, model_info(facts, dtype, "ndif"))


def model_info(facts: ModelFacts, dtype: str, device: str) -> ModelInfo:
    """What the record says of a model whose weights are here, opened or not."""
    located, arch = facts.located, facts.arch
    return ModelInfo(
        id=located.id,
        path=str(located.path),
        revision=located.revision,
        source=located.source,
        weights_sha256=located.weights_sha256 or weights_hash(located.path),
        dtype=dtype,
        device=device,
        family=arch.family,
        n_layers=arch.n_layers,
        d_model=arch.d_model,
        n_heads=arch.n_heads,
        d_head=arch.d_head,
        vocab=facts.config.get_text_config().vocab_size,
        max_positions=arch.max_positions,
        tokenizer_sha256=facts.tokenizer_sha256,
        template_sha256=facts.template_sha256,
        has_template=facts.template is not None,
        verbatim_tokenizer=facts.tokens is not None and facts.tokens.verbatim,
        stop_ids=facts.stops.end,
        quantization=facts.quantization,
        **_adapter(located.adapter),
    )


def _adapter(adapter: Adapter | None) -> dict[str, Any]:
    if adapter is None:
        return {}
    return {"adapter": adapter.id, "adapter_revision": adapter.revision, "adapter_sha256": adapter.sha256}
