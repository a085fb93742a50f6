"""A GGUF file named as a model: taken apart once, the same weights, and one message for what is no such file."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tiny import CHAT_TEMPLATE, tiny, tiny_tokenizer

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models import catalog
from steerdsl.models.catalog import locate
from steerdsl.models.facts import read_facts
from steerdsl.models.opened import open_model

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
IDS = torch.tensor([[1, 50, 60, 70]])


def written(file: Path, kind: gguf.GGMLQuantizationType) -> Path:
    """A tiny Qwen2 as llama.cpp writes one, its matrices of the given type."""
    model = tiny("qwen2", tie_word_embeddings=False)
    config, tokenizer = model.config, tiny_tokenizer()
    out = gguf.GGUFWriter(file, "qwen2")
    out.add_context_length(256)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    out.add_file_type(
        gguf.LlamaFileType.MOSTLY_Q8_0 if kind == gguf.GGMLQuantizationType.Q8_0 else gguf.LlamaFileType.ALL_F32
    )
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list(tokens)
    special = set(tokenizer.all_special_tokens) | {str(t) for t in tokenizer.added_tokens_decoder.values()}
    out.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens])
    out.add_token_merges([" ".join(pair) for pair in vocabulary["model"]["merges"]])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in model.state_dict().items():
        if name in NAMES:
            to = NAMES[name]
        else:
            _, _, layer, rest = name.split(".", 3)
            part, end = rest.rsplit(".", 1)
            to = f"blk.{layer}.{PARTS[part]}.{end}"
        data = tensor.numpy().astype(np.float32)
        packed = kind if data.ndim == 2 and data.shape[-1] % 32 == 0 else gguf.GGMLQuantizationType.F32
        out.add_tensor(to, gguf.quants.quantize(data, packed), raw_dtype=packed)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return file


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_a_gguf_file_is_a_model(kind: str, own_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(own_caches / "tiny.gguf", gguf.GGMLQuantizationType[kind])
    located = locate("tiny.gguf", base=own_caches, within=(own_caches,))
    opened = open_model(located, dtype="float32", device="cpu")
    wanted = tiny("qwen2", tie_word_embeddings=False)
    if kind == "Q8_0":
        with torch.no_grad():
            for parameter in wanted.parameters():
                if parameter.ndim == 2:  # 32 weights share a scale, kept in half precision
                    rows = parameter.reshape(-1, 32)
                    scale = rows.abs().amax(1, keepdim=True) / 127
                    parameter.copy_(((rows / scale).round() * scale.half().float()).reshape(parameter.shape))
    with torch.no_grad():
        got, expected = opened.model(IDS).logits, wanted(IDS).logits
    torch.testing.assert_close(got, expected, atol=5e-3 if kind == "Q8_0" else 1e-5, rtol=1e-3)
    assert opened.tokenizer("Hi there")["input_ids"][-3:] == tiny_tokenizer()("Hi there")["input_ids"][-3:]
    said = {"F32": "ALL_F32", "Q8_0": "MOSTLY_Q8_0"}[kind]
    assert opened.info.quantization == f"{said} in a GGUF file, taken apart"
    assert opened.info.id == "tiny.gguf" and opened.info.weights_sha256 == located.weights_sha256 is not None
    monkeypatch.setattr(catalog.gguf, "convert", lambda *a: pytest.fail("it is converted once"))
    assert read_facts("tiny.gguf", base=own_caches).located == located
    assert not [p for p in (own_caches / "own" / "models").iterdir() if p.name.startswith(".")]
    file.touch()
    assert catalog.find("tiny.gguf", base=own_caches) is None  # another state of the file is another model


@pytest.mark.parametrize(
    ("content", "code"), [(None, "M601"), (b"", "M668"), (b"GGUF", "M668"), (b"x" * 1000, "M668"), ("half", "M668")]
)
def test_what_is_no_gguf_file(own_caches: Path, content: bytes | str | None, code: str) -> None:
    file = own_caches / "odd.gguf"
    if content == "half":
        written(file, gguf.GGMLQuantizationType.F32)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif isinstance(content, bytes):
        file.write_bytes(content)
    for read in (locate, read_facts):
        with pytest.raises(RecipeError) as error:
            read("odd.gguf", base=own_caches)
        assert [d.code for d in error.value.diagnostics] == [code] and error.value.diagnostics[0].help
    models = own_caches / "own" / "models"
    assert not models.exists() or not list(models.iterdir())


def test_a_gguf_file_outside_the_recipes_folder(own_caches: Path) -> None:
    (own_caches / "x.gguf").write_bytes(b"x")
    with pytest.raises(RecipeError) as error:
        locate("../x.gguf", base=own_caches / "recipe", within=(own_caches / "recipe",))
    assert [d.code for d in error.value.diagnostics] == ["M615"]
