"""What every command that runs a recipe does first: read it, check it, say what is wrong.

In: a path, `-` or a text, `--set` values and allowed folders. Out: `Checked`, or a RecipeError that
carries every diagnostic.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from steerdsl.cli.printing import print_diagnostics
from steerdsl.cli.reading import folder_of, read_sources, reader
from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.recipe import Recipe
from steerdsl.lang.source import Source


@dataclass(frozen=True, slots=True)
class Checked:
    """A recipe without errors. `root` is the folder that its paths start from."""

    recipe: Recipe
    source: Source
    root: Path


def load_recipe(file: str | None, text: str | None, sets: Sequence[str], allow: Sequence[Path]) -> Checked:
    """Read and check a recipe, and print its warnings.

    Raises RecipeError with every diagnostic when it has an error, typer.BadParameter when it cannot
    be read.
    """
    sources = read_sources([file] if file is not None else None, text)
    if len(sources) > 1:
        raise typer.BadParameter("name one file, or give one text after -e")
    source = sources[0]
    folders = [str(folder.resolve()) for folder in allow]
    recipe, report = check_source(
        source, overrides=_overrides(sets), read=reader(source, tuple(allow)), folders=folders
    )
    if recipe is None:
        raise RecipeError(report.found)
    print_diagnostics(report.found, sys.stderr)
    if report.found:
        sys.stderr.write("\n")
    return Checked(recipe, source, folder_of(source).resolve())


def _overrides(given: Sequence[str]) -> Mapping[str, str]:
    """`--set name=value` as a mapping."""
    found = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"`--set {item}` has no value; write `--set strength=60%`")
        found[name.strip()] = value.strip()
    return found
