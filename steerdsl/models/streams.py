"""The streams of a transformer block, by the names of the field (TransformerLens).

In: an `Architecture`. Out: registry entries of kind "stream", whose `run(arch, layer)` gives the
`Site` where the stream is read.
"""

from __future__ import annotations

from functools import partial

from steerdsl.models.sites import Architecture, Site
from steerdsl.registry import Arg, Entry


def _read(arch: Architecture, layer: int, *, stream: str) -> Site:
    return arch.read(stream, layer)


_SUMMARIES = {
    "resid_pre": "the residual stream as it enters a block; at layer 0, the embeddings",
    "resid_mid": "the residual stream between attention and MLP (absent if both are added together)",
    "resid_post": "the residual stream as it leaves a block",
    "attn_out": "what attention adds to the residual stream",
    "mlp_out": "what the MLP adds to the residual stream",
    "attn_norm_out": "the output of the norm that feeds attention",
    "mlp_norm_out": "the output of the norm that feeds the MLP",
    "head": "one attention head's output, before the projection that mixes the heads",
}
_ALIASES = {
    "resid_pre": ("hook_resid_pre", "block_input", "layer_input"),
    "resid_mid": ("hook_resid_mid",),
    "resid_post": (
        *("residual", "resid", "residual_stream", "resid_stream", "hidden", "hidden_state", "hidden_states"),
        *("block", "block_output", "layer_output", "hook_resid_post"),
    ),
    "attn_out": ("attn", "attention", "self_attn", "attention_output", "hook_attn_out"),
    "mlp_out": ("mlp", "ffn", "feed_forward", "mlp_output", "hook_mlp_out"),
    "head": ("heads", "attention_head", "hook_z"),
}
_HEAD = (
    Arg("layer", "int", doc="the block, from 0", least=0),
    Arg("head", "int", doc="the head in it, from 0", least=0),
)

ENTRIES = tuple(
    Entry(
        "stream",
        name,
        summary,
        partial(_read, stream=name),
        args=_HEAD if name == "head" else (),
        aliases=_ALIASES.get(name, ()),
        example=f"ablate topic on {'head(12, 3)' if name == 'head' else name}",
    )
    for name, summary in _SUMMARIES.items()
)
