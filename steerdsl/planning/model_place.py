"""Where the model that a run names may be.

In: a recipe in its folder, the options of the run. Out: what `find`, `locate` and `read_facts` take.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steerdsl.lang.recipe import Recipe
from steerdsl.planning.plan import RunOptions


def model_place(recipe: Recipe, root: Path, options: RunOptions) -> tuple[str | None, dict[str, Any]]:
    """The model's id or folder, and where it may be."""
    if options.model is not None:  # a folder named on the command line may be anywhere
        return options.model, {}
    spec = recipe.model
    return spec.id, {"revision": spec.revision, "base": root, "within": (root, *options.allow)}
