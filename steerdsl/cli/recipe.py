"""What every command that runs a recipe does first: read it, check it, plan it, and print what is said of it.

In: a path, `-` or a text, `--set` values, allowed folders, the options of a run. Out: what the stages of
`steerdsl.pipeline` give, or a RecipeError that carries every diagnostic.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from steerdsl.cli.printing import print_diagnostics
from steerdsl.cli.recipe_files import read_sources
from steerdsl.lang.check import Checked
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.lang.reading import folder_of
from steerdsl.lang.source import Source
from steerdsl.pipeline import Prepared, recipe_to_plan, text_to_recipe

if TYPE_CHECKING:
    from steerdsl.models.cache import Progress
    from steerdsl.planning.plan import RunOptions


def load_recipe(file: str | None, text: str | None, sets: Sequence[str], allow: Sequence[Path]) -> Checked:
    """Read and check a recipe, and print its warnings.

    Raises RecipeError with every diagnostic when it has an error, typer.BadParameter when it cannot
    be read.
    """
    sources = read_sources([file] if file is not None else None, text)
    if len(sources) > 1:
        raise typer.BadParameter("name one file, or give one text after -e")
    return check_recipe(sources[0], folder_of(sources[0]), sets, allow)


def check_recipe(source: Source, folder: Path, sets: Sequence[str], allow: Sequence[Path]) -> Checked:
    """Check a recipe that is in `folder`, and print its warnings. Raises RecipeError as `load_recipe`."""
    checked, found = text_to_recipe(source, folder, _params(sets), allow)
    if checked is None:
        raise RecipeError(found)
    print_diagnostics(found, sys.stderr)
    if found:
        sys.stderr.write("\n")
    return checked


def prepare(checked: Checked, options: RunOptions, *, fetch: bool, progress: Progress | None = None) -> Prepared:
    """Plan a recipe, and print the warnings of the plan. Raises RecipeError as `recipe_to_plan`."""
    prepared = recipe_to_plan(checked, options, fetch=fetch, progress=progress, note=note)
    for warnings in prepared.warnings:
        warn(warnings)
    return prepared


def warn(found: Sequence[Diagnostic]) -> None:
    """Print what is said of a recipe that can be run."""
    print_diagnostics(found, sys.stderr)


def note(text: str) -> None:
    """Print a line that is worth knowing."""
    sys.stderr.write(f"note: {text}\n")


def _params(given: Sequence[str]) -> Mapping[str, str]:
    """`--set name=value` as a mapping."""
    found = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"`--set {item}` has no value; write `--set strength=60%`")
        found[name.strip()] = value.strip()
    return found
