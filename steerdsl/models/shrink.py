"""A small copy of a model's config: the same architecture, block for block, with small widths.

In: a transformers config. Out: a config of the same class whose model is built and run in a moment. The number of
blocks, their kinds, and which sizes are equal to which stay as they are; widths, heads, experts and the vocabulary
shrink by the role that the field's name tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

VOCAB = 320
WIDTH = 32
INNER = 48
HEADS = 4
HEAD = 8  # a head's width, where heads fill the stream's width
WIDE_HEAD = 12  # and where they do not

# Fields that count blocks.
DEPTH = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_blocks",
    "depth",
    "decoder_layers",
    "num_decoder_layers",
)
_WIDTHS = re.compile(
    r"^(hidden_size|out_hidden_size|embed_dim|n_embd|d_model|embedding_dim|emb_dim|embedding_size|word_embed_proj_dim|input_embedding_size|"
    r"output_embedding_size|attention_hidden_size|lru_width|mamba_d_ssm|ple_embed_dim|output_proj_dim|adapter_in_dim|adapter_out_dim)$"
)
_INNERS = re.compile(r"intermediate_size|ffn_dim|ffn_hidden_size|feed_forward_size|^(n_inner|dff|dim_ff|d_inner)$")
_QUERIES = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "decoder_attention_heads")
_HEAD_COUNTS = re.compile(r"(_heads|^n_heads?|_query_groups|^num_heads|_heads_per_layer)$")
_HEAD_WIDTHS = re.compile(
    r"^(head_dim|d_head|d_kv|dim_head|global_head_dim|swa_head_dim|attention_head_dim|attention_head_size|kv_channels|"
    r"linear_key_head_dim|linear_value_head_dim|linear_head_dim|swa_v_head_dim|indexer_head_dim)$"
)
_EXPERTS = re.compile(r"^(num_experts|n_routed_experts|num_local_experts|moe_num_experts)$")
_SMALL: Mapping[str, int] = {
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("n_group", "num_expert_group"), 2),
    **dict.fromkeys(("topk_group", "n_shared_experts", "num_shared_experts", "moe_num_shared_experts"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "o_lora_rank"), 16),
    **dict.fromkeys(("qk_nope_head_dim", "v_head_dim", "qk_rope_head_dim", "rotary_dim"), 8),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size", "mamba_dt_rank", "time_step_rank"), 8),
    **dict.fromkeys(("mamba_n_groups", "n_groups", "mamba_ngroups"), 1),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size", "block_size"), 16),
    **dict.fromkeys(("hidden_size_per_layer_input", "laurel_rank", "adapter_rank"), 8),
    **dict.fromkeys(("index_n_heads", "zero_expert_num"), 2),
    **dict.fromkeys(("n_positions", "n_ctx", "max_target_positions", "max_source_positions"), 256),
    "qk_head_dim": 16,
    "index_head_dim": 16,
}
_WINDOWS = re.compile(r"(window|_position_embeddings|positions|_length|chunk)")


def shrunk(config: Any, depth: int | None = None) -> Any:
    """The small copy. `depth`, where given, keeps that many blocks only. Raises whatever the config's class says
    of sizes that do not fit each other."""
    text = config.get_text_config()
    whole = _plain(config)
    inside = None if config is text else next(k for k, v in vars(config).items() if v is text)
    small = _text(_plain(text), depth)
    for key, value in whole.items():
        if isinstance(value, dict) and key.endswith("_config") and key != inside:
            whole[key] = _text(value, 1)
    whole = {**whole, **small} if inside is None else {**{k: _id(k, v) for k, v in whole.items()}, inside: small}
    whole.pop("dtype", None)
    whole.pop("quantization_config", None)
    made = type(config).from_dict(whole)
    made._attn_implementation = "eager" if config._attn_implementation == "eager" else None
    return made


def _plain(config: Any) -> dict[str, Any]:
    found: dict[str, Any] = config.to_dict()
    return {k: v for k, v in found.items() if k not in ("transformers_version", "architectures", "dtype")}


def _text(given: dict[str, Any], depth: int | None, outer: int = 1) -> dict[str, Any]:
    """The fields of one small decoder. outer: the query heads of the config around it, where it does not say its own
    (dbrx)."""
    layers = next((given[k] for k in DEPTH if isinstance(given.get(k), int)), 0)
    queries = next((given[k] for k in _QUERIES if isinstance(given.get(k), int)), outer)
    width = next((v for k, v in given.items() if _WIDTHS.match(k) and isinstance(v, int)), 0)
    fills = given.get("head_dim") in (None, width // max(queries, 1))
    found = {}
    for key, value in given.items():
        value = _id(key, value)
        if depth is not None and layers > depth:
            value = _cut(key, value, layers, depth)
        if isinstance(value, list) and _HEAD_COUNTS.search(key):
            value = [_heads(v, queries) for v in value]
        elif isinstance(value, dict):
            value = _nested(key, value, given, queries)
        elif isinstance(value, int) and not isinstance(value, bool):
            value = _size(key, value, given, width, queries, fills)
        found[key] = value
    return found


def _size(key: str, value: int, given: Mapping[str, Any], width: int, queries: int, fills: bool) -> int:
    if value <= 0 or key in DEPTH:
        return value
    if key in _SMALL:
        return min(value, _SMALL[key])
    if key == "mamba_d_ssm":
        return WIDTH
    if _WIDTHS.match(key):
        return WIDTH * 2 if value == 2 * width else WIDTH if value >= width else WIDTH // 2
    if _INNERS.search(key):
        return min(value, INNER)
    if _EXPERTS.match(key):
        return min(value, 4)
    if _HEAD_COUNTS.search(key):
        return _mamba_heads(key, given) or _heads(value, queries)
    if key in ("mamba_d_head", "mamba_headdim", "mamba_head_dim"):
        return HEAD
    if key == "head_dim" and "state_size" in given and "expand" in given:
        return HEAD
    if _HEAD_WIDTHS.match(key):
        if value == given.get("qk_rope_head_dim"):
            return HEAD
        if value in (given.get("qk_head_dim"), *_joined(given)):
            return _SMALL["qk_head_dim"]
        own = HEAD if fills else WIDE_HEAD
        return own if value in (given.get("head_dim"), width // queries) else 16
    if "vocab" in key and value > VOCAB:
        return VOCAB
    if value == width and not _WINDOWS.search(key):
        return WIDTH
    if key == "max_position_embeddings" and not given.get("rope_parameters"):
        return min(value, 512)
    return value


def _joined(given: Mapping[str, Any]) -> list[int]:
    """Widths of heads whose one part is turned and whose other is not, also those of single layers (dots3)."""
    each = [given, *({**given, **own} for own in (given.get("per_layer_config") or {}).values())]
    return [(g.get("qk_nope_head_dim") or 0) + (g.get("qk_rope_head_dim") or 0) for g in each]


def _mamba_heads(key: str, given: Mapping[str, Any]) -> int | None:
    """Heads of a state-space layer fill `expand` times the stream's width."""
    if key in ("mamba_n_heads", "n_mamba_heads", "mamba_num_heads") or (key == "num_heads" and "state_size" in given):
        if key == "n_mamba_heads" and "mamba_headdim" not in given:
            return 2
        expand = given.get("mamba_expand", given.get("expand", 2))
        return WIDTH // HEAD if given.get("mamba_d_ssm") else WIDTH * int(expand) // HEAD
    return None


def _heads(count: int, queries: int) -> int:
    """As many heads as keep their share of the query heads: 4, 2 or 1, or 8 where there are more than queries."""
    if count > queries:
        return 2 * HEADS
    return next((small for small in (HEADS, 2) if count * HEADS >= small * queries), 1)


def _nested(key: str, value: dict[str, Any], given: Mapping[str, Any], queries: int) -> dict[str, Any]:
    found = dict(value)
    if key.startswith("rope"):
        for inner in (found, *(v for v in found.values() if isinstance(v, dict))):
            section = inner.get("mrope_section")
            if section:
                total = (WIDE_HEAD if given.get("head_dim") and _apart(given) else HEAD) // 2
                total = int(total * (inner.get("partial_rotary_factor") or 1.0))
                small = [max(1, s * total // sum(section)) for s in section]
                while sum(small) > total and max(small) > 0:
                    small[small.index(max(small))] -= 1
                inner["mrope_section"] = [total - sum(small[1:]), *small[1:]]
        return found
    if key == "per_layer_config":
        return {layer: _layer(own, given, queries) for layer, own in value.items()}
    if key.endswith("_config"):
        return _text(found, None, queries)
    return found


def _layer(own: dict[str, Any], given: Mapping[str, Any], queries: int) -> dict[str, Any]:
    """The sizes that one layer has for itself."""
    width = int(given.get("hidden_size", 0))
    sizes = {k: v for k, v in own.items() if isinstance(v, int) and not isinstance(v, bool)}
    return {**own, **{k: _size(k, v, {**given, **own}, width, queries, not _apart(given)) for k, v in sizes.items()}}


def _apart(given: Mapping[str, Any]) -> bool:
    """Whether the heads together have another width than the stream."""
    heads = next((given[k] for k in _QUERIES if isinstance(given.get(k), int)), 1)
    return given.get("head_dim") is not None and bool(given["head_dim"] * heads != given.get("hidden_size"))


def _id(key: str, value: Any) -> Any:
    """Token ids that the small vocabulary has."""
    if not key.endswith(("token_id", "token_index", "_token_ids", "eos_ids")):
        return value
    if isinstance(value, list):
        return [_id(key, v) for v in value]
    return 3 if isinstance(value, int) and value >= VOCAB else value


def _cut(key: str, value: Any, layers: int, depth: int) -> Any:
    if key in DEPTH and value == layers:
        return depth
    if isinstance(value, list) and len(value) == layers:
        return value[:depth]
    if key == "per_layer_config" and isinstance(value, dict):
        return {k: v for k, v in value.items() if int(k) < depth}
    return value
