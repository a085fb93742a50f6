"""The model and its tokenizer."""

from __future__ import annotations

from typing import Any

from nnsight.modeling.transformers import TransformersModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from steerdsl.eject.parts.settings import DTYPE, MODEL, REVISION


def load(name: str, device: str) -> tuple[Any, Any]:
    """The model, wrapped by nnsight so that it can be traced, and its tokenizer."""
    revision = REVISION if name == MODEL else None
    tokenizer = AutoTokenizer.from_pretrained(
        name,
        revision=revision,
        padding_side="left",
    )
    causal_lm: Any = AutoModelForCausalLM.from_pretrained(
        name,
        revision=revision,
        dtype=DTYPE,
        use_safetensors=True,
    )
    # The parameters are not frozen on purpose: generation from frozen bfloat16 weights
    # is much slower on some processors. Each pass below runs under no_grad instead.
    causal_lm = causal_lm.to(device).eval()
    return TransformersModel(causal_lm, tokenizer=tokenizer), tokenizer
