"""Whether a model that a program has loaded is one that a steer was made for.

In: a model of transformers, and what a plan knows of its own. Out: the causal LM whose passes are to be edited, or a
RecipeError R900 that says what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steerdsl.engine.edits import Touch, walk
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.architecture import architecture
from steerdsl.models.catalog import find

if TYPE_CHECKING:
    from steerdsl.models.facts import ModelFacts

SIZES = ("family", "n_layers", "d_model", "n_heads", "d_head")


def base_of(model: Any) -> Any:
    """The causal LM itself: that of an adapter of peft, and a model that is one as it is.

    Raises TypeError for what is not a model of transformers, RecipeError R900 for one that torch has compiled.
    """
    if hasattr(model, "_orig_mod"):
        raise _refused("torch has compiled it, and a compiled pass takes no edits", "give the model as it was before")
    inner = model.get_base_model() if callable(getattr(model, "get_base_model", None)) else model
    if not callable(getattr(inner, "generate", None)) or not hasattr(inner, "config"):
        raise TypeError(f"model is a causal language model of transformers, not {type(model).__name__}")
    return inner


def place_of(model: Any) -> str | None:
    """The id or folder that a model was loaded from, where this machine knows it."""
    name = getattr(model.config, "_name_or_path", "") or None
    try:
        return name if name is not None and find(name) is not None else None
    except RecipeError:
        return None


def require_same(model: Any, facts: ModelFacts) -> None:
    """Raise RecipeError R900 where the sizes of a model are not those of the plan's, M605 for an unknown family."""
    theirs, ours = architecture(model.config), facts.arch
    pairs = [(name, getattr(theirs, name), getattr(ours, name)) for name in SIZES]
    tokens = [config.get_text_config().vocab_size for config in (model.config, facts.config)]
    for name, here, there in [*pairs, ("vocab_size", *tokens)]:
        if here != there:
            title = f"its {name} is {here}, and that of `{facts.located.id}`, for which the steer was made, is {there}"
            raise _refused(title, "load that model, or make the steer for this one")


def require_modules(model: Any, touches: Sequence[Touch]) -> None:
    """Raise RecipeError R900 where a model lacks a module at which a steer acts."""
    for path in (touch["path"] for touch in touches):
        try:
            walk(model, path)
        except (AttributeError, IndexError, KeyError) as error:
            title = f"it has no module `{path}`, where the steer acts"
            raise _refused(title, "load it with AutoModelForCausalLM") from error


def _refused(why: str, help: str) -> RecipeError:
    return RecipeError([Diagnostic("R900", f"this model cannot be steered: {why}", help=help)], Exit.USAGE)
