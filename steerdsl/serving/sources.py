"""What steers are taken from: a finished run, or the default model alone.

In: a run directory that was read, options given now. Out: a checked recipe, and the options to plan it with.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.lang.check import Checked
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.lower.settings import EDITION
from steerdsl.lang.recipe import ModelSpec, Recipe
from steerdsl.lang.source import Source
from steerdsl.pipeline import text_to_recipe
from steerdsl.share.recorded import as_recorded, recipe_folder, with_model

if TYPE_CHECKING:
    from steerdsl.planning.plan import RunOptions
    from steerdsl.store.finished_run import Finished


def of_run(found: Finished, options: RunOptions) -> tuple[Checked, RunOptions]:
    """The recipe of a run as its record has it, and the options of the run where none are given now.

    Raises RecipeError for a recipe that is not where the record says (R864), a model that this machine does not
    know (R874), or a text that this version does not read.
    """
    record = found.record
    chosen = as_recorded(record, with_model(found.folder, record, options))
    chosen = replace(chosen, on="local", host=None, insecure=False)
    source = Source(record["recipe"]["name"], record["recipe"]["text"])
    params = dict(text.split("=", 1) for text in chosen.sets)
    checked, mistakes = text_to_recipe(source, recipe_folder(found.folder, record), params, chosen.allow)
    if checked is None:
        raise RecipeError(mistakes)
    return checked, chosen


def no_recipe() -> Checked:
    """A recipe without steps: a model as it is."""
    return Checked(Recipe(EDITION, ModelSpec(), {}, ()), Source("the default model", ""), Path.cwd())
