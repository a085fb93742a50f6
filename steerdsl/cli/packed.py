"""Packs where a recipe may stand: `steerdsl run econ.steerpack`.

In: what the command line names, and the options given. Out: the unpacked recipe, and the options of the
pack's run for what was not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.lang.diagnostics import Diagnostic, RecipeError

if TYPE_CHECKING:
    from steerdsl.plan.plan import RunOptions

SUFFIX = ".steerpack"


def is_pack(file: str) -> bool:
    """Whether a name is that of a pack."""
    return file.lower().endswith(SUFFIX)


def unpacked(file: str | None, options: RunOptions) -> tuple[str | None, RunOptions]:
    """The recipe in a pack with the options it was run with; both as they are where `file` is no pack.

    Whether unsafe answers are printed is for the one to say who runs it. Raises RecipeError R866-R870 for
    a pack that is refused, R874.
    """
    if file is None or not is_pack(file):
        return file, options
    recipe, record = open_pack(Path(file), options.model)
    return str(recipe), replace(as_recorded(record, options), keep_unsafe=options.keep_unsafe)


def open_pack(file: Path, model: str | None) -> tuple[Path, Mapping[str, Any]]:
    """A pack's recipe, unpacked, and its record. Raises RecipeError as `read_pack`, and R874 where the run
    was made with a model in a folder and no `model` is given: a pack names no place on this machine."""
    from steerdsl.share.pack import read_pack, unpack

    pack = read_pack(file)
    named = pack.record["run"]["model"]
    if model is None and named is not None and (named.startswith((".", "~", "/")) or "\\" in named or ":" in named):
        title = f"{file.name} was run with a model in a folder, `{named}`"
        raise RecipeError([Diagnostic("R874", title, help="name the model with --model")], 2)
    return unpack(pack) / "recipe" / pack.recipe, pack.record


def as_recorded(record: Mapping[str, Any], options: RunOptions) -> RunOptions:
    """The options of a recorded run, but for those that were given now."""
    run = record["run"]
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
