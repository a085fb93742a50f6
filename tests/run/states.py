"""Activations by transformers alone, and the vectors of a run's files, for comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from tiny import tiny_tokenizer
from transformers import AutoModelForCausalLM


def last_states(folder: Path, prompts: list[str]) -> np.ndarray[Any, Any]:
    """Every layer's output at the last token of each prompt, by transformers alone: [prompts, layers, width]."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = tiny_tokenizer()
    found = []
    for prompt in prompts:
        talk = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        outputs: list[Any] = []
        hooks = [
            layer.register_forward_hook(lambda _, __, out, o=outputs: o.append(out if torch.is_tensor(out) else out[0]))
            for layer in model.model.layers
        ]
        with torch.no_grad():
            model(ids)
        for hook in hooks:
            hook.remove()
        found.append(np.stack([out[0, -1].double().numpy() for out in outputs]))
    return np.stack(found)


def vector(folder: str, name: str) -> np.ndarray[Any, Any]:
    """The raw vectors of a run's file, a row for each layer."""
    with safe_open(f"{folder}/vectors/{name}.safetensors", "np") as file:
        return np.squeeze(file.get_tensor("directions") * file.get_tensor("raw_norms")[..., None])
