"""Where each stream of each family lives, written by hand: "<" a module's input, ">" its output."""

from __future__ import annotations

from collections.abc import Mapping

LLAMA = {
    "resid_pre": "<model.layers.{}",
    "attn_norm_out": ">model.layers.{}.input_layernorm",
    "head": "<model.layers.{}.self_attn.o_proj",
    "attn_out": ">model.layers.{}.self_attn",
    "resid_mid": "<model.layers.{}.post_attention_layernorm",
    "mlp_norm_out": ">model.layers.{}.post_attention_layernorm",
    "mlp_out": ">model.layers.{}.mlp",
    "resid_post": ">model.layers.{}",
}
GEMMA = {
    **LLAMA,
    "attn_out": ">model.layers.{}.post_attention_layernorm",
    "resid_mid": "<model.layers.{}.pre_feedforward_layernorm",
    "mlp_norm_out": ">model.layers.{}.pre_feedforward_layernorm",
    "mlp_out": ">model.layers.{}.post_feedforward_layernorm",
}
GPT2 = {
    "resid_pre": "<transformer.h.{}",
    "attn_norm_out": ">transformer.h.{}.ln_1",
    "head": "<transformer.h.{}.attn.c_proj",
    "attn_out": ">transformer.h.{}.attn",
    "resid_mid": "<transformer.h.{}.ln_2",
    "mlp_norm_out": ">transformer.h.{}.ln_2",
    "mlp_out": ">transformer.h.{}.mlp",
    "resid_post": ">transformer.h.{}",
}
NEOX = {
    "resid_pre": "<gpt_neox.layers.{}",
    "attn_norm_out": ">gpt_neox.layers.{}.input_layernorm",
    "head": "<gpt_neox.layers.{}.attention.dense",
    "attn_out": ">gpt_neox.layers.{}.attention",
    "resid_mid": "<gpt_neox.layers.{}.post_attention_layernorm",
    "mlp_norm_out": ">gpt_neox.layers.{}.post_attention_layernorm",
    "mlp_out": ">gpt_neox.layers.{}.mlp",
    "resid_post": ">gpt_neox.layers.{}",
}
OPT = {
    "resid_pre": "<model.decoder.layers.{}",
    "attn_norm_out": ">model.decoder.layers.{}.self_attn_layer_norm",
    "head": "<model.decoder.layers.{}.self_attn.out_proj",
    "attn_out": ">model.decoder.layers.{}.self_attn",
    "resid_mid": "<model.decoder.layers.{}.final_layer_norm",
    "mlp_norm_out": ">model.decoder.layers.{}.final_layer_norm",
    "mlp_out": ">model.decoder.layers.{}.fc2",
    "resid_post": ">model.decoder.layers.{}",
}


def _without(table: Mapping[str, str], *streams: str) -> dict[str, str]:
    return {stream: path for stream, path in table.items() if stream not in streams}


# By the cases of `tiny`; the default model is a llama.
FAMILIES: dict[str, Mapping[str, str]] = {
    **dict.fromkeys(("llama", "llama_untied", "mistral", "qwen2", "qwen3", "phi3"), LLAMA),
    **dict.fromkeys(("gemma2", "gemma3_text"), GEMMA),
    "gemma3": {stream: path.replace("model.layers", "model.language_model.layers") for stream, path in GEMMA.items()},
    "gpt2": GPT2,
    "gpt_neox": _without(NEOX, "resid_mid"),
    "gpt_neox_sequential": NEOX,
    "opt": OPT,
    "opt_post_norm": _without(OPT, "resid_mid", "attn_norm_out", "mlp_norm_out"),
}
