"""Where the streams of many families are, read by hand in transformers' module trees.

"<" is a module's input, ">" its output. This is the reading that what the probe finds is held against.
"""

from __future__ import annotations


def _places(
    block: str, attn: str | None, mlp: str | None, mid: str | None = None, head: str | None = None
) -> dict[str, str]:
    """Paths within a block; None where the family has no such stream."""
    found = {"resid_pre": f"<{block}", "resid_post": f">{block}"}
    for stream, mark, path in (("attn_out", ">", attn), ("mlp_out", ">", mlp), ("resid_mid", "<", mid)):
        if path is not None:
            found[stream] = f"{mark}{block}.{path}"
    return found if head is None else {**found, "head": f"<{block}.{head}"}


_LAYERS = "model.layers.{}"
_PAL, _POST = "post_attention_layernorm", "post_feedforward_layernorm"
_LLAMA = _places(_LAYERS, "self_attn", "mlp", _PAL, "self_attn.o_proj")
_OLMO2 = _places(_LAYERS, _PAL, _POST, "mlp", "self_attn.o_proj")
_PARALLEL = _places(_LAYERS, "self_attn", "mlp", None, "self_attn.o_proj")
_NORMED = _places(_LAYERS, _PAL, _POST, "pre_feedforward_layernorm", "self_attn.o_proj")
_MIXER = _places("backbone.layers.{}", "mixer", None)

PLACES: dict[str, dict[str, str]] = {
    **dict.fromkeys(("llama", "granite", "qwen3_moe", "mixtral", "deepseek_v3", "gpt_oss", "smollm3"), _LLAMA),
    **dict.fromkeys(("starcoder2", "stablelm", "seed_oss", "olmo", "helium", "gemma", "minicpm3"), _LLAMA),
    **dict.fromkeys(("olmo2", "olmo3", "exaone4", "flex_olmo"), _OLMO2),
    **dict.fromkeys(("cohere", "cohere2"), _PARALLEL),
    **dict.fromkeys(("gemma2", "gemma3_text"), _NORMED),
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba"), _MIXER),
    "glm4": _places(_LAYERS, "post_self_attn_layernorm", "post_mlp_layernorm", _PAL, "self_attn.o_proj"),
    "granitemoe": _places(_LAYERS, "self_attn", "block_sparse_moe", _PAL, "self_attn.o_proj"),
    "llama4_text": _places(_LAYERS, "self_attn", "feed_forward", _PAL, "self_attn.o_proj"),
    "phi": _places(_LAYERS, "self_attn", "mlp", None, "self_attn.dense"),
    "bamba": _places(_LAYERS, "mamba", "feed_forward", "pre_ff_layernorm"),
    "qwen3_next": _places(_LAYERS, "linear_attn", "mlp", _PAL),
    "gptj": _places("transformer.h.{}", "attn", "mlp", None, "attn.out_proj"),
    "codegen": _places("transformer.h.{}", "attn", "mlp", None, "attn.out_proj"),
    "falcon": _places("transformer.h.{}", "self_attention", "mlp", None, "self_attention.dense"),
    "bloom": _places("transformer.h.{}", "self_attention.dense", "mlp.dense_4h_to_h", _PAL, "self_attention.dense"),
    "gpt_bigcode": _places("transformer.h.{}", "attn", "mlp", "ln_2", "attn.c_proj"),
    "gpt_neo": _places("transformer.h.{}", "attn", "mlp", "ln_2", "attn.attention.out_proj"),
    "ctrl": _places("transformer.h.{}", "multi_head_attention", "ffn", "layernorm2", "multi_head_attention.dense"),
    "mpt": _places("transformer.blocks.{}", "attn", "ffn.down_proj", "norm_2", "attn.out_proj"),
    "xglm": _places(_LAYERS, "self_attn", "fc2", "final_layer_norm", "self_attn.out_proj"),
    "biogpt": _places("biogpt.layers.{}", "self_attn", "fc2", "final_layer_norm", "self_attn.out_proj"),
    "mistral3": {stream: p.replace("model.", "model.language_model.", 1) for stream, p in _LLAMA.items()},
}
