"""Tiny random models and tokenizers, built in code from configs, for every family of the sites table.

Out: `tiny(family)` (a causal LM in eval mode, float32), `tiny_tokenizer()` (byte-level BPE with a
chat template), `tiny_folder(path, family)` (both saved as a local model folder).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

VOCAB = 320
LAYERS = 3
SPECIAL = ("<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
PAD, BOS, EOS = 0, 1, 2

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe helpful.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Gemma's: it accepts no system prompt and trims what the user wrote.
STRICT_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)

_ROTARY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
_GEMMA = {**_ROTARY, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 64}
_GEMMA3_TEXT = {**_GEMMA, "sliding_window_pattern": 2}
_GEMMA3 = {
    "text_config": {**_GEMMA3_TEXT, "vocab_size": VOCAB},
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    },
    "mm_tokens_per_image": 4,
    "image_token_id": VOCAB - 1,
}
_NEOX = {k: v for k, v in _ROTARY.items() if k != "num_key_value_heads"}
_OPT = {
    "hidden_size": 32,
    "ffn_dim": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}

# Name of the case: model type and what its config needs beyond the token ids.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {**_ROTARY, "tie_word_embeddings": True}),
    "llama_untied": ("llama", {**_ROTARY, "tie_word_embeddings": False}),
    "mistral": ("mistral", _ROTARY),
    "qwen2": ("qwen2", _ROTARY),
    "qwen3": ("qwen3", {**_ROTARY, "head_dim": 16}),
    "phi3": ("phi3", _ROTARY),
    "gemma2": ("gemma2", _GEMMA),
    "gemma3_text": ("gemma3_text", _GEMMA3_TEXT),
    "gemma3": ("gemma3", _GEMMA3),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": LAYERS, "n_head": 4, "n_positions": 256}),
    "gpt_neox": ("gpt_neox", {**_NEOX, "use_parallel_residual": True}),
    "gpt_neox_sequential": ("gpt_neox", {**_NEOX, "use_parallel_residual": False}),
    "opt": ("opt", {**_OPT, "word_embed_proj_dim": 32}),
    "opt_post_norm": ("opt", {**_OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False}),
}
# One of each family, for tests whose every case is slow.
FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "opt", "phi3")


def tiny_config(case: str, **changes: Any) -> Any:
    """The config of a tiny model; `case` is a key of CASES, `changes` override its settings."""
    model_type, settings = CASES[case]
    ids = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    if "text_config" not in settings:
        ids["vocab_size"] = VOCAB
    return AutoConfig.for_model(model_type, **{**ids, **settings, **changes})


def tiny(case: str = "llama", seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A random causal LM of 3 layers and width 32, float32, in eval mode; the same seed, the same weights.

    Weights are larger than the usual initialisation, so that layers differ and logits have no ties.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(case, **changes))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                scale = 0.15 if parameter.ndim > 1 else 0.1
                noise = torch.randn_like(parameter) * scale
                norm = "norm" in name or "ln_" in name
                parameter.copy_(parameter + noise if norm else noise)
    model.generation_config.do_sample = False
    return model.eval()


@cache
def _bpe() -> str:
    """A byte-level BPE with a few dozen merges, as JSON (training it takes a moment)."""
    text = ["How does inflation change the price of bread?", "Explain the basics of photography to me, please."] * 4
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=VOCAB, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        ),
    )
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    return raw.to_str()


def tiny_tokenizer(template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    """A tokenizer for the tiny models that adds one BOS to raw text; `template` None gives it no chat template."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_bpe()),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=256,
    )
    tokenizer.chat_template = template
    return tokenizer


def tiny_folder(path: Path, case: str = "llama", template: str | None = CHAT_TEMPLATE, **changes: Any) -> Path:
    """Save a tiny model and its tokenizer under `path`, a local model folder like any other; return `path`."""
    tiny(case, **changes).save_pretrained(path)
    tiny_tokenizer(template).save_pretrained(path)
    return path
