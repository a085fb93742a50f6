"""`steerdsl eject`: write a recipe as a standalone Python program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steerdsl.cli import options as o
from steerdsl.cli.recipe import load_recipe, prepare
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.show.door import write_file

if TYPE_CHECKING:
    from steerdsl.planning.plan import RunOptions


@o.run_options(*o.COMMON)
def eject(
    file: o.File = None,
    text: o.Text = None,
    *,
    chosen: RunOptions,
    out: Annotated[
        Path | None, typer.Option(help="the file to write", show_default="standard output", metavar="FILE.py")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
) -> None:
    """Turn a recipe into a standalone Python program that uses nnsight and torch alone.

    \b
    Example:
      steerdsl eject recipes/econ.steer --out econ.py
      python econ.py --out runs/mine
    """
    from steerdsl.cli.progress import Progress
    from steerdsl.eject.write import program
    from steerdsl.store.files import write_text

    with Progress(shown=True) as progress:
        checked = load_recipe(file, text, chosen.sets, chosen.allow)
        made = prepare(checked, chosen, fetch=False, progress=progress)
    if out is None:
        write_file(program(made.plan), sys.stdout)
        return
    if out.exists() and not force:
        help = "name another file with --out, or add --force"
        raise RecipeError([Diagnostic("R801", f"{out} already exists", help=help)], Exit.USAGE)
    written = program(made.plan)
    try:
        write_text(out, written)
    except OSError as error:
        title = f"{out} could not be created: {(error.strerror or str(error)).lower()}"
        raise RecipeError([Diagnostic("R802", title, help="choose another path with --out")], Exit.FAILED) from error
