"""`steerdsl check`: every mistake of one or more recipes and of their data files, without a model.

In: recipes. Out: their diagnostics on the standard output; exit code 1 when there is an error.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from steerdsl.cli.options import Allow
from steerdsl.cli.printing import print_diagnostics, print_json
from steerdsl.cli.recipe_files import Files, read_sources
from steerdsl.lang.diagnostics import Diagnostic, Exit
from steerdsl.lang.reading import folder_of
from steerdsl.pipeline import file_mistakes, text_to_recipe


def check(
    files: Files = None,
    text: Annotated[
        str | None, typer.Option("-e", metavar="TEXT", help="A recipe as text.", show_default=False)
    ] = None,
    allow: Allow = [],  # noqa: B006  (typer's way to say a repeatable option)
    json: Annotated[bool, typer.Option("--json", help="Print an array of objects instead of text.")] = False,
) -> None:
    """Report every mistake in one or more recipes.

    Reads data files but no model. The exit code is 1 if there is an error, and 0 if there are only warnings.

    \b
    Example:
      steerdsl check recipes/econ.steer
      steerdsl check -e 'extract diffmean from econ vs generic; ablate layers 6'
    """
    found: list[Diagnostic] = []
    unseen: list[str] = []
    sources = read_sources(files, text)
    for source in sources:
        checked, said = text_to_recipe(source, folder_of(source), allow=allow)
        found += said
        if checked is not None:
            found += file_mistakes(checked, allow)
            unseen += [f"{name} of the hub" for name, spec in checked.recipe.data.items() if spec.kind == "hub"]
    if json:
        print_json(found, sys.stdout)
    else:
        print_diagnostics(found, sys.stdout)
        print(("\n" if found else "") + _verdict(len(sources), found))
        if unseen:
            print(f"not looked at: {', '.join(unseen)}; `steerdsl plan` does")
    if any(d.severity == "error" for d in found):
        raise typer.Exit(Exit.INVALID)


def _verdict(recipes: int, found: list[Diagnostic]) -> str:
    errors = sum(d.severity == "error" for d in found)
    warnings = len(found) - errors
    counts = [_count(number, word) for number, word in ((errors, "error"), (warnings, "warning")) if number]
    return f"{_count(recipes, 'recipe')} checked: {', '.join(counts) or 'no mistakes'}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
