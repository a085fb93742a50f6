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
    """A recipe without errors. `root` is the folder that its paths start from, `used` the files that it
    uses, by their path from there."""

    recipe: Recipe
    source: Source
    root: Path
    used: tuple[str, ...] = ()


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
    """Check a recipe that lies in `folder`, and print its warnings. Raises RecipeError as `load_recipe`."""
    folders = [str(place.resolve()) for place in allow]
    used: list[str] = []
    read = reader(folder, tuple(allow))

    def noted(path: str) -> Source:
        used.append(path)
        return read(path)

    recipe, report = check_source(source, overrides=_overrides(sets), read=noted, folders=folders)
    if recipe is None:
        raise RecipeError(report.found)
    print_diagnostics(report.found, sys.stderr)
    if report.found:
        sys.stderr.write("\n")
    return Checked(recipe, source, folder.resolve(), tuple(used))


def _overrides(given: Sequence[str]) -> Mapping[str, str]:
    """`--set name=value` as a mapping."""
    found = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"`--set {item}` has no value; write `--set strength=60%`")
        found[name.strip()] = value.strip()
    return found
