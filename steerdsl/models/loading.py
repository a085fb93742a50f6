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
from steerdsl.models.quantization import PACKAGES, method_of, refused
from steerdsl.models.quiet import quiet
from steerdsl.models.small import model_class
from steerdsl.models.tokenizer import first_line
from steerdsl.models.weights import shapes

# What old checkpoints keep and each model computes for itself: rotary frequencies, and masks, which
# unlike a bias have four dimensions or none.
_COMPUTED = re.compile(r"(^|\.)(rotary_emb\.(inv_freq|original_inv_freq)|position_ids)$")
_MASK = re.compile(r"(^|\.)(attn|attention)\.(masked_)?bias$")


def load(located: Located, config: Any, dtype: torch.dtype, settings: Any, options: dict[str, Any]) -> Any:
    """transformers' model. `settings` are those of its generation.

    Raises RecipeError: M606 (missing or damaged weights, which transformers would fill in at random),
    M617 (weights without a place), M619 (quantised weights that cannot be opened here), M664 (that
    cannot be quantised as is asked).
    """
    from safetensors import SafetensorError

    _require_known(located, config)
    try:
        with quiet():
            loaded: Any = model_class(config).from_pretrained(
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


def _require_known(located: Located, config: Any) -> None:
    """Raise RecipeError M619 for a quantisation that transformers does not know: it would open the weights as if they
    had none."""
    method = method_of(config)
    if method in (None, "bitsandbytes"):
        return
    with quiet():  # this loads torchao, which logs what it lacks
        from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING
    if method not in AUTO_QUANTIZER_MAPPING:
        error = ValueError(f"transformers knows no quantisation `{method}`")
        raise RecipeError([_refused(located, config, error)], Exit.FAILED)


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
    if located.quantization is not None:
        return _unquantised(located, error)
    method = method_of(config)
    if method is None:
        return damaged(located, first_line(error))
    title = f"the weights of `{located.id}` are quantised ({method}) and cannot be opened here"
    package = PACKAGES.get(method)
    way_out = "take the model's weights without quantisation"
    if package is not None and isinstance(error, ImportError):
        way_out = f"run `pip install {package}`, or {way_out}"
    return Diagnostic("M619", title, notes=(f"the reason given: {first_line(error)}",), help=way_out)


def _unquantised(located: Located, error: Exception) -> Diagnostic:
    """What an error means while weights are quantised on loading: the device or a size of the model."""
    assert located.quantization is not None
    found = refused(located.id, located.quantization, first_line(error)[:300], "take another one, or leave it out")
    return found.diagnostics[0]


def _listed(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
