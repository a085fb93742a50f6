"""What is known about a model without its weights.

In: a model id or folder. Out: `ModelFacts`: sizes, streams and sites from the config, the chat
template and its hash, and the tokenizer where its files are at hand.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models import hub
from steerdsl.models.adapters import AdapterPlace
from steerdsl.models.architecture import architecture
from steerdsl.models.batching import pad_id
from steerdsl.models.catalog import (
    DEFAULT_MODEL,
    Located,
    convert,
    did_you_mean,
    dressed,
    find_base,
    full_id,
    unreachable,
)
from steerdsl.models.config import read_config
from steerdsl.models.generation import Stops, read_stops
from steerdsl.models.gguf import quantised_in
from steerdsl.models.quantization import described
from steerdsl.models.sites import Architecture
from steerdsl.models.tokenizer import Tokenizer, read

_BUILTIN = Path(__file__).parent / "builtin" / "SmolLM2-135M-Instruct"
_BUILTIN_STOPS = Stops(end=(2,), pad=2)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as its config describes it; `tokens` is None until its tokenizer has been fetched."""

    located: Located
    config: Any
    arch: Architecture
    template: str | None
    tokens: Tokenizer | None
    stops: Stops

    @property
    def tokenizer(self) -> Any | None:
        """transformers' tokenizer."""
        return None if self.tokens is None else self.tokens.object

    @property
    def tokenizer_sha256(self) -> str | None:
        """Hash of what the tokenizer does."""
        return None if self.tokens is None else self.tokens.sha256

    @property
    def quantization(self) -> str | None:
        """How the weights are quantised, on loading or in their files, in words; None where they are not."""
        words = described(self.located.quantization, self.config)
        packed = quantised_in(self.located.path)
        return words if packed is None else f"{packed} in a GGUF file, taken apart" + (f"; {words}" if words else "")

    @property
    def template_sha256(self) -> str | None:
        """Hash of the chat template; None for a model without one."""
        return template_hash(self.template)


def read_facts(
    model: str | None,
    *,
    revision: str | None = None,
    base: Path | None = None,
    within: tuple[Path, ...] | None = None,
    adapter: AdapterPlace | None = None,
    quantization: str | None = None,
    offline: bool = False,
) -> ModelFacts:
    """Read what describes a model. Only small files are fetched, and none for the default model.

    `base` and `within` as in `find`. Raises RecipeError: M601, M602, M603, M612 and M615 as `locate`,
    M605 (not a causal language model), M606 (files that cannot be read), M640 and M641 (no stream that is known),
    M662 (no adapter).
    """
    convert(model, base, within)
    located = find_base(model, revision=revision, base=base, within=within)
    if located is None:
        located = _described(full_id(model), revision, offline)
    return facts_of(dressed(located, adapter, quantization, offline))


def facts_of(located: Located) -> ModelFacts:
    """What the files of a model's folder say. Raises RecipeError M605, M606, M640 and M641."""
    config = read_config(located.id, located.path)
    arch = architecture(config)
    if located.source == "builtin":
        template = (located.path / "chat_template.jinja").read_text("utf-8")
        return ModelFacts(located, config, arch, template, None, _BUILTIN_STOPS)
    tokens = read(located)
    rows = config.get_text_config().vocab_size
    stops = read_stops(located.path, tokens.object, rows)
    if pad_id(tokens.object) >= rows:  # a token without an embedding cannot fill a batch
        tokens.object.pad_token = tokens.object.convert_ids_to_tokens(stops.pad)
    return ModelFacts(located, config, arch, tokens.object.chat_template, tokens, stops)


def _described(name: str, revision: str | None, offline: bool) -> Located:
    """A folder that describes a model whose weights are not here yet."""
    if name == DEFAULT_MODEL and revision is None:
        return Located(name, _BUILTIN, None, None, "builtin")
    if offline:
        title = f"`{name}` is not on this machine, and --offline forbids asking the hub about it"
        way_out = f"run `steerdsl models fetch {name}` once with a network"
        raise RecipeError([Diagnostic("M602", title, help=did_you_mean(name) or way_out)], Exit.FAILED)
    try:
        folder = hub.fetch(name, revision, weights=False)
    except hub.Unreachable as error:
        raise RecipeError([unreachable(name, error)], Exit.FAILED) from error
    return Located(name, folder, folder.name, None, "hub")


def template_hash(template: str | None) -> str | None:
    """SHA-256 of a chat template's text; None for None."""
    return None if template is None else hashlib.sha256(template.encode()).hexdigest()
