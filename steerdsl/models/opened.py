"""Opens a model for running: weights on their device, tokenizer, and what the record says of both.

In: a `Located` folder, a dtype and a device. Out: `Opened`, whose model is in eval mode with its
parameters as transformers loads them. They are not frozen on purpose: on processors with bfloat16
instructions generation from frozen parameters is much slower, so runs use `torch.no_grad` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.cache import size_text
from steerdsl.models.catalog import Located
from steerdsl.models.device import choose_device, choose_dtype
from steerdsl.models.facts import ModelFacts, facts_of
from steerdsl.models.generation import neutral
from steerdsl.models.loading import damaged, load
from steerdsl.models.quiet import quiet
from steerdsl.models.sites import Architecture
from steerdsl.models.weights import contents, weights_hash

# Room for activations and the cache of keys and values, beside the weights.
_HEADROOM = 1.2


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


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that can run: `model` is transformers' causal LM, `arch` its sites."""

    model: Any
    tokenizer: Any
    arch: Architecture
    info: ModelInfo


def open_model(located: Located, *, dtype: str | None = "auto", device: str = "auto") -> Opened:
    """Load the weights. A model that does not fit one GPU is spread over all by accelerate.

    Raises RecipeError: M605 (not a model of the table), M606 (files missing or damaged), M608 (no
    such device), M609 (no such dtype), M613 (larger than the device's memory), M617 (weights that the
    config has no place for), M619 (quantised weights that cannot be opened here).
    """
    place = choose_device(device)
    kind = choose_dtype(dtype, place)
    facts = facts_of(located)
    options = placement(located, kind, place, spread=device in ("auto", "cuda"))
    model = load(located, facts.config, kind, neutral(facts.stops), options)
    if "device_map" not in options:
        model = model.to(place)
    devices = sorted({str(p.device) for p in model.parameters()})
    name = str(kind).removeprefix("torch.")
    return Opened(model.eval(), facts.tokenizer, facts.arch, model_info(facts, name, "+".join(devices)))


def open_remote(located: Located, dtype: str) -> Opened:
    """The model without weights, as a server that has them is told about it: its modules and settings.
    Raises RecipeError M605 (not a model of the table)."""
    from transformers import AutoModelForCausalLM

    facts = facts_of(located)
    with quiet(), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(facts.config)
    model.generation_config = neutral(facts.stops)
    return Opened(model.eval(), facts.tokenizer, facts.arch, model_info(facts, dtype, "ndif"))


def placement(located: Located, dtype: torch.dtype, device: torch.device, spread: bool) -> dict[str, Any]:
    """Options of from_pretrained that spread a model over several GPUs, where it is larger than the
    one chosen. Raises RecipeError M613 when it fits neither."""
    if device.type != "cuda":
        return {}
    try:
        needed = int(contents(located.path).parameters * dtype.itemsize * _HEADROOM)
    except ValueError as error:
        raise RecipeError([damaged(located, str(error))], Exit.FAILED) from error
    free = torch.cuda.mem_get_info(device)[0]
    if needed <= free:
        return {}
    if spread and torch.cuda.device_count() > 1:
        return {"device_map": "auto"}
    title = f"`{located.id}` needs {size_text(needed)} on {device}, which has {size_text(free)} free"
    way_out = "use --dtype bf16, --device cpu, or --device cuda with several GPUs"
    raise RecipeError([Diagnostic("M613", title, help=way_out)], Exit.FAILED)


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
    )
