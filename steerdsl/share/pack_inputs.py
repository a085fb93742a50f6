"""Packs in place of a recipe or a run: `steerdsl run econ.steerpack`, `steerdsl.load("econ.steerpack")`.

In: what a command line or a program names, and the options given. Out: the unpacked recipe with the options of the
pack's run for what was not given, or the folder of its run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.share.recorded import as_recorded, recorded_model

if TYPE_CHECKING:
    from steerdsl.planning.plan import RunOptions

PACK = ".steerpack"


def is_pack(file: str | Path) -> bool:
    """Whether a name is that of a pack."""
    return str(file).lower().endswith(PACK)


def unpacked(file: str | None, options: RunOptions) -> tuple[str | None, RunOptions]:
    """The recipe in a pack with the options it was run with; both unchanged if `file` is not a pack.

    Whether unsafe answers are printed is for the one to say who runs it. Raises RecipeError R866-R870 for
    a pack that is refused, R874.
    """

    if file is None or not is_pack(file):
        return file, options
    recipe, record = open_pack(Path(file))
    require_model(file, record, options.model)
    return str(recipe), replace(as_recorded(record, options), keep_unsafe=options.keep_unsafe)


def open_pack(file: Path) -> tuple[Path, Mapping[str, Any]]:
    """A pack's recipe, unpacked, and its record. Raises RecipeError as `read_pack`."""
    from steerdsl.share.pack import read_pack, unpack

    pack = read_pack(file)
    return unpack(pack) / "recipe" / pack.recipe, pack.record


def from_pack(recipe: Path) -> bool:
    """Whether a recipe is one that was unpacked from a pack, so that what is written next to it is lost."""
    from steerdsl.share.pack import unpacked_packs

    return recipe.is_relative_to(unpacked_packs())


def in_pack(run: Path) -> bool:
    """Whether a run is named by the pack that it is in."""
    return is_pack(run.name) and not run.is_dir()


def run_folder(run: Path) -> Path:
    """A run directory that was named: a folder, or the run in a pack, unpacked.

    Raises RecipeError R866-R870 for a pack that is refused.
    """
    return open_pack(run)[0].parents[1] / "run" if in_pack(run) else run


def require_model(file: str, record: Mapping[str, Any], model: str | None) -> None:
    """Raise RecipeError R874 where a pack's run was made with a model in a folder and no `model` is given:
    a pack names no place on this machine."""

    named = record["run"]["model"]
    if model is None and named is not None and recorded_model(record, None) is None:
        title = f"{Path(file).name} was run with a model in a folder, `{named}`"
        raise RecipeError(
            [Diagnostic("R874", title, help="name the model with --model, in a program with `model=`")], Exit.USAGE
        )
