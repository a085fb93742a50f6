"""Reads a model's config, and refuses what cannot be steered before anything large is fetched.

In: a model folder. Out: its model type, its transformers config.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.generation import settle
from steerdsl.models.quiet import quiet
from steerdsl.models.sites import require_family

_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def model_type(folder: Path) -> str | None:
    """The model type that a folder's config names; None when the config cannot be read."""
    try:
        return str(json.loads((folder / "config.json").read_text("utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def require_steerable(model_id: str, folder: Path) -> None:
    """Raise RecipeError M605 for what is no causal language model of the table of sites, M606 for a
    config that cannot be read. Code that a config points to is never looked for."""
    kind = model_type(folder)
    if kind is None:
        title = f"the config.json of `{model_id}` cannot be read"
        raise RecipeError([Diagnostic("M606", title, help="fetch or copy the model again")])
    classes = json.loads((folder / "config.json").read_text("utf-8")).get("architectures") or []
    if classes and not any(name.endswith(_CAUSAL) for name in classes):
        title = f"`{model_id}` is not a causal language model: it is a {classes[0]}"
        raise RecipeError([Diagnostic("M605", title, help="choose a model that generates text")])
    require_family(kind)


def read_config(model_id: str, folder: Path) -> Any:
    """The transformers config of a model of the table, without what steers generation.

    Raises RecipeError as `require_steerable`, and M618 for a folder whose files have transformers load
    weights that nobody sees: an adapter beside the model, a file of another name.
    """
    from transformers import AutoConfig

    require_steerable(model_id, folder)
    with quiet():
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if (folder / "adapter_config.json").is_file():
        raise RecipeError([_hidden(model_id, "holds adapter_config.json, with weights that would change the model's")])
    if getattr(config, "transformers_weights", None) is not None:
        reason = "has a config.json that names another file of weights (`transformers_weights`)"
        raise RecipeError([_hidden(model_id, reason)])
    return settle(config)


def _hidden(model_id: str, reason: str) -> Diagnostic:
    way_out = "merge the adapter into the weights, or remove it" if "adapter" in reason else "remove that setting"
    return Diagnostic("M618", f"the folder of `{model_id}` {reason}", help=way_out)
