"""A GGUF file becomes an ordinary model folder, once.

In: a GGUF file. Out: a folder with dense safetensors weights, config, tokenizer and chat template.
The dequantised values are kept exactly (float32) unless a smaller dtype is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steerdsl.models.quiet import quiet


def convert(file: Path, folder: Path, dtype: str = "float32") -> None:
    """Write the model in `file` to the new folder `folder`, with weights of `dtype`.

    Takes about 20 s for 135 million parameters, most of it transformers' reading of the vocabulary.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
        )
        _repair(tokenizer, _pre_tokenizer(file))
        tokenizer.model_max_length = model.config.max_position_embeddings
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _pre_tokenizer(file: Path) -> str | None:
    """The name of the pre-tokenizer that the file asks for (`tokenizer.ggml.pre`)."""
    from gguf import GGUFReader

    field = GGUFReader(file).fields.get("tokenizer.ggml.pre")
    return None if field is None else str(field.contents())


def _repair(tokenizer: Any, pre_tokenizer: str | None) -> None:
    """SmolLM splits digits one by one before anything else; transformers' conversion leaves that
    step out, which joins spaces and newlines before a digit differently from the original."""
    if pre_tokenizer != "smollm":
        return
    from tokenizers import pre_tokenizers

    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
