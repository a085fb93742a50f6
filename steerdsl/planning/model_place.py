"""Where the model that a run names may be.

In: a recipe in its folder, the options of the run. Out: what `find`, `locate` and `read_facts` take.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steerdsl.lang.recipe import Recipe
from steerdsl.models.adapters import AdapterPlace
from steerdsl.planning.plan import RunOptions


def model_place(recipe: Recipe, root: Path, options: RunOptions) -> tuple[str | None, dict[str, Any]]:
    """The model's id or folder, and where it may be."""
    spec = recipe.model
    within = (root, *options.allow)
    dress: dict[str, Any] = {"quantization": spec.quantization}
    if spec.adapter is not None:
        dress["adapter"] = AdapterPlace(spec.adapter, root, within)
    if options.model is not None:  # a folder named on the command line may be anywhere
        return options.model, dress
    return spec.id, {"revision": spec.revision, "base": root, "within": within, **dress}
