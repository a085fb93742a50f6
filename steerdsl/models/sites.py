"""The one table of architectures: where each stream of a block is read and written.

In: a transformers config. Out: `Architecture`, whose `read` and `write` give a `Site`, plain data
that both PyTorch hooks and nnsight can act on. Module paths start at the causal LM itself.
A new family is one `_family(...)` line, checked by tests/models/test_sites.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from steerdsl.lang.diagnostics import Diagnostic, RecipeError

STREAMS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "attn_norm_out", "mlp_norm_out", "head")

# The order in which a block's modules run; resid_mid is written with what attention adds.
RANK = {
    "resid_pre": 0,
    "attn_norm_out": 1,
    "head": 2,
    "attn_out": 3,
    "resid_mid": 3,
    "mlp_norm_out": 4,
    "mlp_out": 5,
    "resid_post": 6,
}


@dataclass(frozen=True, slots=True)
class Site:
    """A module's input or output that holds a stream, [batch, sequence, width].

    module: dotted path from the causal LM. tupled: the tensor is the first of a tuple.
    flat: tokens are flattened to [batch * sequence, width] (OPT's MLP).
    onto: the stream's value is `onto` plus this site's; to give the stream a value, write that
    value minus `onto`. Assigning a norm's input would change the MLP's branch only.
    """

    module: str
    side: Literal["input", "output"]
    tupled: bool = False
    flat: bool = False
    onto: Site | None = None


@dataclass(frozen=True, slots=True)
class Architecture:
    """A family's sites together with the sizes of one model of it.

    sites: for each stream, where it is read, with `{l}` for the layer. missing: why a stream does
    not exist. embeddings: the modules whose sum is the first block's input (before any scaling).
    """

    family: str
    blocks: str
    embeddings: tuple[str, ...]
    sites: Mapping[str, Site]
    missing: Mapping[str, str] = field(default_factory=dict)
    n_layers: int = 0
    d_model: int = 0
    n_heads: int = 0
    d_head: int = 0
    max_positions: int | None = None

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that this model has."""
        return tuple(s for s in STREAMS if s not in self.missing)

    def width(self, stream: str) -> int:
        """The size of one direction of `stream`: one head's, or the residual stream's."""
        return self.d_head if stream == "head" else self.d_model

    def read(self, stream: str, layer: int) -> Site:
        """Where `stream` of block `layer` (from 0) is read. Raises RecipeError P710 when this model has none."""
        if stream in self.missing:
            raise RecipeError([self._no_stream(stream)])
        site = self.sites[stream]
        return replace(site, module=site.module.format(l=layer))

    def write(self, stream: str, layer: int) -> Site:
        """Where `stream` of block `layer` is written; differs from `read` for `resid_mid` alone."""
        if stream != "resid_mid":
            return self.read(stream, layer)
        self.read("resid_mid", layer)  # refuses a stream that this model lacks
        return replace(self.read("attn_out", layer), onto=self.read("resid_pre", layer))

    def everywhere(self) -> tuple[tuple[str, int], ...]:
        """Every write to the residual stream as (stream, layer), in the order of the forward pass:
        the embeddings (the first block's input), then each attention's and each MLP's contribution."""
        blocks = [(stream, layer) for layer in range(self.n_layers) for stream in ("attn_out", "mlp_out")]
        return (("resid_pre", 0), *blocks)

    def head_slice(self, head: int) -> slice:
        """The columns of the `head` site that belong to head `head`. Raises RecipeError P711."""
        if not 0 <= head < self.n_heads:
            title = f"head {head} does not exist: the model has {self.n_heads} heads a layer"
            raise RecipeError([Diagnostic("P711", title, help=f"heads are numbered 0 to {self.n_heads - 1}")])
        return slice(head * self.d_head, (head + 1) * self.d_head)

    def _no_stream(self, stream: str) -> Diagnostic:
        title = f"{self.family} models have no `{stream}`: {self.missing[stream]}"
        return Diagnostic("P710", title, help=f"this model has {', '.join(self.streams)}")


def _family(
    blocks: str,
    embeddings: tuple[str, ...],
    *,
    attn: str = "self_attn",
    mlp: str = "mlp",
    attn_norm: str = "input_layernorm",
    mlp_norm: str = "post_attention_layernorm",
    heads: str = "self_attn.o_proj",
    attn_added: str | None = None,
    mlp_added: str | None = None,
    flat: bool = False,
) -> Architecture:
    """One row. Paths are relative to a block; `*_added` name the norm whose output is what is added
    to the stream, where that is not the attention's or MLP's own output; `heads` reads the
    concatenated heads, just before the projection that mixes them."""
    block = f"{blocks}.{{l}}"
    sites = {
        "resid_pre": Site(block, "input"),
        "resid_mid": Site(f"{block}.{mlp_norm}", "input", flat=flat),
        "resid_post": Site(block, "output"),
        "attn_out": Site(f"{block}.{attn_added or attn}", "output", tupled=attn_added is None),
        "mlp_out": Site(f"{block}.{mlp_added or mlp}", "output", flat=flat),
        "attn_norm_out": Site(f"{block}.{attn_norm}", "output"),
        "mlp_norm_out": Site(f"{block}.{mlp_norm}", "output", flat=flat),
        "head": Site(f"{block}.{heads}", "input"),
    }
    return Architecture("", blocks, embeddings, MappingProxyType(sites))


_LLAMA = _family("model.layers", ("model.embed_tokens",))
# Gemma normalises each contribution before it is added.
_gemma = partial(
    _family,
    mlp_norm="pre_feedforward_layernorm",
    attn_added="post_attention_layernorm",
    mlp_added="post_feedforward_layernorm",
)

# transformers' model type -> sites; checked bit for bit against transformers 5.23.
TABLE: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": _LLAMA,
        "mistral": _LLAMA,
        "qwen2": _LLAMA,
        "qwen3": _LLAMA,
        "phi3": _LLAMA,
        "gemma2": _gemma("model.layers", ("model.embed_tokens",)),
        "gemma3_text": _gemma("model.layers", ("model.embed_tokens",)),
        "gemma3": _gemma("model.language_model.layers", ("model.language_model.embed_tokens",)),
        "gpt2": _family(
            "transformer.h",
            ("transformer.wte", "transformer.wpe"),
            attn="attn",
            attn_norm="ln_1",
            mlp_norm="ln_2",
            heads="attn.c_proj",
        ),
        "gpt_neox": _family("gpt_neox.layers", ("gpt_neox.embed_in",), attn="attention", heads="attention.dense"),
        "opt": _family(
            "model.decoder.layers",
            ("model.decoder.embed_tokens", "model.decoder.embed_positions"),
            attn_norm="self_attn_layer_norm",
            mlp="fc2",
            mlp_norm="final_layer_norm",
            heads="self_attn.out_proj",
            flat=True,
        ),
    }
)


def require_family(model_type: str) -> None:
    """Raise RecipeError M605 for a model type that is not in TABLE."""
    if model_type not in TABLE:
        title = f"models of type `{model_type}` have no row in the table of sites"
        raise RecipeError([Diagnostic("M605", title, help=f"choose a model of type {', '.join(TABLE)}")])


def architecture(config: Any) -> Architecture:
    """The sites and sizes of the model that `config` describes.

    Raises RecipeError M605 for a model type that is not in TABLE.
    """
    family = config.model_type
    require_family(family)
    text = config.get_text_config()
    n_heads = text.num_attention_heads
    return replace(
        TABLE[family],
        family=family,
        missing=MappingProxyType(_missing(text)),
        n_layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        n_heads=n_heads,
        d_head=getattr(text, "head_dim", None) or text.hidden_size // n_heads,
        max_positions=getattr(text, "max_position_embeddings", None),
    )


def _missing(config: Any) -> dict[str, str]:
    """Streams that a setting of the config takes away, with the reason."""
    if config.model_type == "gpt_neox" and config.use_parallel_residual:
        return {"resid_mid": "attention and MLP read the same input and are added together"}
    if config.model_type == "opt" and not config.do_layer_norm_before:
        reason = "this one normalises after each addition, so there is nothing between the two"
        return dict.fromkeys(("resid_mid", "attn_norm_out", "mlp_norm_out"), reason)
    return {}
