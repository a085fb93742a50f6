"""Every type of transformers' own list of causal language models as a small config.

What a type's default config lacks or contradicts is said here, as a published checkpoint says it.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
# Multimodal checkpoints whose text model is a decoder, which are opened by another class.
WRAPPERS = ("mistral3", "qwen2_5_vl", "qwen2_vl", "qwen3_vl", "llava", "idefics3", "internvl", "glm4v")

_ROPE = {"rope_theta": 10000.0, "rope_type": "default"}
_SECTIONS = {"rope_theta": 1e6, "rope_type": "default", "mrope_section": [16, 24, 24]}
_INDEXER = {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 256}
_INDEXER |= {"indexer_budget": 64, "indexer_compress_ratio": 4}
# Settings that a type's default config leaves out or gets wrong.
SETTINGS: dict[str, dict[str, Any]] = {
    "cohere_compass_text": {
        "layer_types": ["full_attention", "sliding_attention"] * 2,
        "num_hidden_layers": 4,
        "rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE},
    },
    "deepseek_v2": {"num_experts_per_tok": 2, "n_routed_experts": 4, "topk_group": 1, "n_group": 1},
    "qwen4_exp": {"text_config": _INDEXER},
    "qwen4_exp_text": _INDEXER,
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "ernie4_5_moe": {"moe_layer_end_index": 3},
    "gemma4_assistant": {"text_config": {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}},
    "gemma4_unified_assistant": {"text_config": {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}},
    "granite": {"residual_multiplier": 0.22},
    "granitemoehybrid": {"num_hidden_layers": 4, "layer_types": ["mamba", "attention"] * 2},
    "bamba": {"num_hidden_layers": 4, "attn_layer_indices": [1]},
    "granitemoe": {"residual_multiplier": 0.22},
    "hunyuan_v1_dense": {"head_dim": 128, "num_key_value_heads": 8},
    "hunyuan_v1_moe": {"head_dim": 128, "num_key_value_heads": 8, "num_experts": 4, "moe_topk": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_hidden_layers": 4},
    "ministral": {"head_dim": 128},
    "nemotron": {"head_dim": 128, "num_key_value_heads": 8},
    "reformer": {"is_decoder": True, "axial_pos_embds": False, "attn_layers": ["local", "lsh"] * 2},
    "qwen2_5_vl": {"text_config": {"rope_parameters": _SECTIONS}},
    "qwen2_vl": {"text_config": {"rope_parameters": _SECTIONS}},
    "glm4v": {"text_config": {"rope_parameters": {**_SECTIONS, "mrope_section": [8, 12, 12]}}},
    "dbrx": {"attn_config": {"kv_n_heads": 16, "rope_theta": 10000.0, "clip_qkv": 8.0}},
    "xmod": {"default_language": "en_XX"},
}
# Blocks that are kept, where the first four do not show every kind of block that a type has; None keeps all.
DEPTHS: dict[str, int | None] = {
    **dict.fromkeys(("bailing_hybrid", "jamba", "kimi_linear", "lfm2"), 8),
    **dict.fromkeys(("recurrent_gemma", "axk2"), 4),
    **dict.fromkeys(("bamba", "zamba", "zamba2", "gemma3n_text", "gemma4_text", "gemma4", "dots3_note_text"), None),
    **dict.fromkeys(("granitemoehybrid", "mllama", "cohere_compass_text", "lfm2_moe"), None),
}


def config(model_type: str) -> Any:
    """The default config of a type with what it lacks. Raises what transformers raises."""
    return AutoConfig.for_model(model_type, **SETTINGS.get(model_type, {}))


def depth(model_type: str) -> int | None:
    """How many of its blocks are enough."""
    return DEPTHS.get(model_type, 4)
