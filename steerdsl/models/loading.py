"""Loads a model's weights, and takes no model for another: nothing filled in, nothing left out.

In: a `Located` folder, its config, a dtype. Out: transformers' causal LM, with the settings of
generation that it is given instead of its own.
"""

from __future__ import annotations

import re
from typing import Any

import torch

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.catalog import Located
from steerdsl.models.quiet import quiet
from steerdsl.models.tokenizer import first_line
from steerdsl.models.weights import shapes

# What old checkpoints keep and each model computes for itself: rotary frequencies, and masks, which
# unlike a bias have four dimensions or none.
_COMPUTED = re.compile(r"(^|\.)(rotary_emb\.(inv_freq|original_inv_freq)|position_ids)$")
_MASK = re.compile(r"(^|\.)(attn|attention)\.(masked_)?bias$")
# The packages that open weights of a kind of quantisation.
_PACKAGES = {
    "awq": "gptqmodel",
    "gptq": "gptqmodel optimum",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "torchao": "torchao",
    "quanto": "optimum-quanto",
    "hqq": "hqq",
    "aqlm": "aqlm",
    "eetq": "eetq",
    "fbgemm_fp8": "fbgemm-gpu",
    "mxfp4": "kernels",
    "spqr": "spqr_quant",
    "vptq": "vptq",
    "auto-round": "auto-round",
}


def load(located: Located, config: Any, dtype: torch.dtype, settings: Any, options: dict[str, Any]) -> Any:
    """transformers' model. `settings` are those of its generation.

    Raises RecipeError: M606 (missing or damaged weights, which transformers would fill in at random),
    M617 (weights without a place), M619 (quantised weights that cannot be opened here).
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                located.path,
                config=config,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                generation_config=settings,
                **options,
            )
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError) as error:
        raise RecipeError([_refused(located, config, error)], Exit.FAILED) from error
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise RecipeError([damaged(located, f"the files do not have {_listed(missing)}")], Exit.FAILED)
    if wrong := sorted(report["mismatched_keys"]):
        raise RecipeError([_refused(located, config, ValueError(_other_shapes(wrong)))], Exit.FAILED)
    if left := _left_out(located, model, report["unexpected_keys"]):
        raise RecipeError([_no_place(located, left)], Exit.FAILED)
    model.generation_config = settings
    return model


def damaged(located: Located, reason: str) -> Diagnostic:
    """The message for weights that cannot be loaded (M606)."""
    title = f"the weights of `{located.id}` cannot be loaded"
    way_out = "copy the model folder again"
    if located.source != "folder":  # the hub's cache keeps the files themselves two folders above a snapshot
        kept = located.path.parents[1] if located.source == "hub" else located.path
        way_out = f"delete {kept} and fetch the model again"
    return Diagnostic("M606", title, notes=(f"the reason given: {reason}",), help=way_out)


def _other_shapes(wrong: list[tuple[str, Any, Any]]) -> str:
    name, held, wanted = wrong[0]
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    sizes = [" × ".join(map(str, shape)) or "one number" for shape in (held, wanted)]
    return f"{name} is {sizes[0]} in the files and {sizes[1]} by config.json{more}"


def _left_out(located: Located, model: Any, unexpected: set[str]) -> list[str]:
    """The tensors of the files that the model did not take, those that it computes itself left out.
    transformers leaves out of its report what only looks like one of those, by a part of its name."""
    held = shapes(located.path)
    passed = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_unexpected or ()]
    own = tuple(f".{name}" for name, _ in model.named_parameters())
    unseen = {
        name
        for name in held
        if any(p.search(name) for p in passed) and not any(mine.endswith(f".{name}") for mine in own)
    }
    return sorted(name for name in unexpected | unseen if not _harmless(name, held.get(name)))


def _harmless(name: str, shape: tuple[int, ...] | None) -> bool:
    if _COMPUTED.search(name):
        return True
    return bool(_MASK.search(name)) and shape is not None and len(shape) in (0, 4)


def _no_place(located: Located, left: list[str]) -> Diagnostic:
    title = f"the weights of `{located.id}` hold {len(left)} tensors that the model of its config.json has no place for"
    if len(left) == 1:
        title = f"the weights of `{located.id}` hold a tensor that the model of its config.json has no place for"
    notes = (f"left out would be {_listed(left)}", "without them it is another model than the one that was trained")
    way_out = "correct config.json (the number of layers, biases, the model type), or save the weights without them"
    return Diagnostic("M617", title, notes=notes, help=way_out)


def _refused(located: Located, config: Any, error: Exception) -> Diagnostic:
    """What transformers' error means: damaged weights, or a quantisation that cannot be opened here."""
    method = _quantisation(config)
    if method is None:
        return damaged(located, first_line(error))
    title = f"the weights of `{located.id}` are quantised ({method}) and cannot be opened here"
    package = _PACKAGES.get(method)
    way_out = "take the model's weights without quantisation"
    if package is not None and isinstance(error, ImportError):
        way_out = f"run `pip install {package}`, or {way_out}"
    return Diagnostic("M619", title, notes=(f"the reason given: {first_line(error)}",), help=way_out)


def _quantisation(config: Any) -> str | None:
    """The method with which a config says that its weights are quantised, or None."""
    found = getattr(config, "quantization_config", None)
    method = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)
    if method is None and isinstance(found, dict) and any(str(k).startswith("load_in_") for k in found):
        method = "bitsandbytes"
    return None if method is None else str(getattr(method, "value", method))


def _listed(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
