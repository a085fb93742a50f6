"""The model and its tokenizer."""

from __future__ import annotations

from typing import Any

from nnsight.modeling.transformers import TransformersModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from steerdsl.eject.parts.settings import DTYPE, MODEL, REVISION


def load(name: str, device: str) -> tuple[Any, Any]:
    """The model, wrapped by nnsight so that it can be traced, and its tokenizer."""
    revision = REVISION if name == MODEL else None
    options: Any = {"revision": revision, "padding_side": "left"}
    tokenizer: Any = AutoTokenizer.from_pretrained(name, **options)  # if: not verbatim
    # The class that the model's files name would not cut texts as tokenizer.json says.  # if: verbatim
    tokenizer = PreTrainedTokenizerFast.from_pretrained(name, **options)  # if: verbatim
    causal_lm: Any = AutoModelForCausalLM.from_pretrained(
        name,
        revision=revision,
        dtype=DTYPE,
        use_safetensors=True,
        # Else penalties and the like in the model's own files would change the answers.
        generation_config=GenerationConfig(),
        is_encoder_decoder=False,
        return_dict=True,
        output_attentions=False,
        output_hidden_states=False,
    )
    # The parameters are not frozen on purpose: generation from frozen bfloat16 weights
    # is much slower on some processors. Each pass below runs under no_grad instead.
    causal_lm = causal_lm.to(device).eval()
    return TransformersModel(causal_lm, tokenizer=tokenizer), tokenizer
