"""Reads a model's config, and refuses what cannot be steered before anything large is fetched.

In: a model folder. Out: its model type, its transformers config.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steerdsl.forms.models import CONFIG, LARGEST, require_descriptions
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.architecture import architecture
from steerdsl.models.generation import settle
from steerdsl.models.quiet import quiet
from steerdsl.models.small import require_family

_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def model_type(folder: Path) -> str | None:
    """The model type that a folder's config names; None when the config cannot be read."""
    try:
        return str(read_json(folder / "config.json", CONFIG, most=LARGEST)["model_type"])
    except (OSError, ValueError):
        return None


def is_causal(folder: Path) -> bool:
    """Whether a folder's config says that it is a causal language model; False when it cannot be read."""
    try:
        classes = read_json(folder / "config.json", CONFIG, most=LARGEST).get("architectures") or []
    except (OSError, ValueError):
        return False
    return not classes or any(name.endswith(_CAUSAL) for name in classes)


def require_steerable(model_id: str, folder: Path) -> None:
    """Raise RecipeError M605 for anything but a causal language model that transformers has, M606 for a
    config that cannot be read. Code that a config points to is never looked for."""
    try:
        found = read_json(folder / "config.json", CONFIG, most=LARGEST)
    except (OSError, ValueError) as error:
        raise unreadable(model_id, error) from error
    classes = found.get("architectures") or []
    if classes and not any(name.endswith(_CAUSAL) for name in classes):
        title = f"`{model_id}` is not a causal language model: it is a {classes[0]}"
        raise RecipeError([Diagnostic("M605", title, help="choose a model that generates text")])
    _require_no_code(model_id, found)
    require_family(found["model_type"])


def _require_no_code(model_id: str, found: dict[str, Any]) -> None:
    """Raise RecipeError M605 for a model that transformers itself does not have: its files bring Python code, which
    never runs here."""
    from transformers import CONFIG_MAPPING

    if found.get("auto_map") and found["model_type"] not in CONFIG_MAPPING:
        title = f"`{model_id}` needs code of its own (trust_remote_code), which steerdsl never runs"
        way_out = "choose a model that transformers has itself; a later version of transformers may have this one"
        raise RecipeError([Diagnostic("M605", title, help=way_out)])


def read_config(model_id: str, folder: Path) -> Any:
    """The transformers config of a model, without what steers generation.

    Raises RecipeError as `require_steerable` and `architecture`, and M618 for a folder whose files have transformers
    load weights that nobody sees: an adapter next to the model, a file of another name.
    """
    from transformers import AutoConfig

    require_steerable(model_id, folder)
    try:
        require_descriptions(folder)
        with quiet():
            config = settle(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
        architecture(config)
    except RecipeError:
        raise
    except Exception as error:  # what an odd config trips in the library is not foreseeable
        raise unreadable(model_id, error) from error
    if (folder / "adapter_config.json").is_file():
        raise RecipeError([_hidden(model_id, "holds adapter_config.json, with weights that would change the model's")])
    if getattr(config, "transformers_weights", None) is not None:
        reason = "has a config.json that names another file of weights (`transformers_weights`)"
        raise RecipeError([_hidden(model_id, reason)])
    return config


def _hidden(model_id: str, reason: str) -> Diagnostic:
    way_out = "merge the adapter into the weights, or remove it" if "adapter" in reason else "remove that setting"
    return Diagnostic("M618", f"the folder of `{model_id}` {reason}", help=way_out)


def unreadable(model_id: str, error: Exception) -> RecipeError:
    """The error of a model folder whose description is not what it should be (M606)."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    note = (f"the reason given: {reason[:300]}",)
    title = f"the files that describe `{model_id}` cannot be read"
    return RecipeError([Diagnostic("M606", title, (), note, "fetch or copy the model again")])
