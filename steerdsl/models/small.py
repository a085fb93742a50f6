"""A small model of an architecture with random weights, for a look at how activations flow through it.

In: a transformers config. Out: the model of its shrunk copy, float32 on the CPU, in eval mode; the same config
gives the same weights.
"""

from __future__ import annotations

from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.quiet import quiet
from steerdsl.models.shrink import shrunk

MOST = 200_000_000  # parameters; a config that does not shrink further is no small model
SEED = 20_26


def model_class(config: Any) -> Any:
    """transformers' auto class whose model of this type generates text from text; None when there is none."""
    with quiet():
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
        from transformers.models.auto import modeling_auto as auto

    if config.model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return AutoModelForCausalLM
    if config.model_type in auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return AutoModelForImageTextToText
    return None


def require_family(model_type: str) -> None:
    """Raise RecipeError M605 for a type of which transformers has no model that generates text."""
    from transformers.models.auto import modeling_auto as auto

    known = (auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    if not any(model_type in names for names in known):
        title = f"transformers has no causal language model of type `{model_type}`"
        way_out = "choose another model, or a version of transformers that has this one"
        raise RecipeError([Diagnostic("M605", title, help=way_out)])


def two_stacks(model_type: str) -> bool:
    """Whether a type is an encoder with a decoder."""
    from transformers.models.auto import modeling_auto as auto

    pairs = (
        auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
        auto.MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING_NAMES,
    )
    causal = auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return any(model_type in names and names[model_type] != causal.get(model_type) for names in pairs)


def small_model(config: Any, depth: int | None = None) -> Any:
    """The model. Raises whatever transformers raises where it cannot be built."""
    import torch

    small = shrunk(config, depth)
    kind = model_class(config)
    with quiet():
        with torch.device("meta"):
            count = sum(p.numel() for p in kind.from_config(small).parameters())
        if count > MOST:
            raise ValueError(f"its small copy still has {count / 1e6:,.0f} million parameters")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = kind.from_config(small, dtype=torch.float32)
            _at_random(model)
    return model.eval()


def _at_random(model: Any) -> None:
    """Weights that make no two activations equal by chance: matrices anew, other parameters moved a little."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.is_floating_point():
                continue
            noise = torch.randn_like(parameter)
            if parameter.ndim > 1:
                parameter.copy_(noise * 0.15)
            else:
                parameter.copy_(parameter.nan_to_num(0.0, 0.0, 0.0).clamp(-8, 8) + noise * 0.1)
