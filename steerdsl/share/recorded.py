"""What a record says of how to run its recipe again.

In: a record that may be a stranger's, and the options given now. Out: the recipe's folder, and the options with what
the record adds. A record opens no file and no model of this machine that it does not show to be its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.lang.reading import NAMELESS
from steerdsl.models.weights import known_hash, weights_hash
from steerdsl.store.results import file_sha256

if TYPE_CHECKING:
    from steerdsl.planning.plan import RunOptions


def recipe_folder(folder: Path, record: Mapping[str, Any]) -> Path:
    """The folder that a recipe's paths start from: where the record says, if the recipe is there, so that a
    record of a stranger cannot lead to a file here that is not next to that very recipe. A recipe that reads no file
    needs none. Raises RecipeError R864."""
    name, root = record["recipe"]["name"], folder / str(record["recipe"].get("folder", "."))
    file = root / Path(name).name
    if name in NAMELESS:
        there = root.is_dir() and root.resolve() == Path.cwd()
    else:
        there = file.is_file() and file_sha256(file) == record["recipe"]["sha256"]
    if there:
        return root
    if not record["inputs"]:
        return folder
    title = f"the recipe's folder is not where the record says: {root}"
    if root.is_dir():
        title = f"the recipe is not where the record says, or was changed: {file}"
    raise RecipeError(
        [Diagnostic("R864", title, help="the run or the recipe has moved; name the recipe with --recipe")], Exit.USAGE
    )


def with_model(folder: Path, record: Mapping[str, Any], options: RunOptions) -> RunOptions:
    """The options with the model of the run. Raises RecipeError R874 for a folder that is not known here."""
    named = record["run"]["model"]
    if options.model is not None or named is None:
        return options
    model = recorded_model(record, record["model"]["path"])
    if model is None:
        title = f"the run in {folder} was made with a model in a folder, `{named}`"
        raise RecipeError([Diagnostic("R874", title, help="name the model with --model")], Exit.USAGE)
    return replace(options, model=model)


def recorded_model(record: Mapping[str, Any], path: str | None) -> str | None:
    """The model that a run was made with, as `--model` would name it; None where that is a folder which this
    machine does not know to have the record's weights. So a stranger's record opens no other model that is here:
    at `path` the weights must have been hashed before, and in the working folder they are hashed now."""
    named, weights = str(record["run"]["model"]), record["model"]["weights_sha256"]
    elsewhere = named.startswith((".", "~", "/")) or "\\" in named or ":" in named
    here = not elsewhere and (Path(named) / "config.json").exists()
    if not (elsewhere or here or record["model"]["source"] == "folder"):
        return named
    if weights is not None and path is not None and known_hash(Path(path)) == weights:
        return path
    return named if weights is not None and here and weights_hash(Path(named)) == weights else None


def as_recorded(record: Mapping[str, Any], options: RunOptions) -> RunOptions:
    """The options of a recorded run, except those that were given now.

    Raises RecipeError R881 for a record whose `--set` names no param or no value.
    """
    run = record["run"]
    for item in run["set"]:
        if not item.partition("=")[0].strip() or "=" not in item:
            title = f"the run's record is damaged: `run.set` has `{item}`, which is not NAME=VALUE"
            raise RecipeError([Diagnostic("R881", title, help="make the run again")], Exit.USAGE)
    return replace(
        options,
        model=options.model or run["model"],
        dtype=options.dtype or run["dtype"],
        batch_size=options.batch_size or (None if run["batch_size"] == "auto" else run["batch_size"]),
        seed=run["seed"] if options.seed is None else options.seed,
        keep_unsafe=options.keep_unsafe or run["keep_unsafe"],
        judge_model=options.judge_model or run["judge_model"],
        sets=(*run["set"], *options.sets),
    )
