"""`steerdsl eject`: a recipe as a Python file of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from steerdsl.cli import options as o
from steerdsl.cli.recipe import load_recipe
from steerdsl.lang.diagnostics import Diagnostic, RecipeError


def eject(
    file: o.File = None,
    text: o.Text = None,
    sets: o.Sets = [],  # noqa: B006  (typer's way to say a repeatable option)
    model: o.Model = None,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    seed: o.Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="the file to write", show_default="the standard output", metavar="FILE.py")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
    offline: o.Offline = False,
    allow: o.Allow = [],  # noqa: B006
) -> None:
    """Write one Python file that does what a recipe does, with nnsight and torch alone.

    \b
    Example:
      steerdsl eject recipes/econ.steer --out econ.py
      python econ.py --out runs/mine
    """
    from steerdsl.cli.prepare import prepare
    from steerdsl.eject.write import program
    from steerdsl.plan.plan import RunOptions
    from steerdsl.store.files import write_text

    checked = load_recipe(file, text, sets, allow)
    chosen = RunOptions(model, device, dtype, batch_size, seed, "local", offline, tuple(allow))
    made = prepare(checked, chosen, fetch=False)
    if out is None:
        sys.stdout.write(program(made.plan))
        return
    if out.exists() and not force:
        help = "name another file with --out, or add --force"
        raise RecipeError([Diagnostic("R801", f"{out} exists already", help=help)], 2)
    written = program(made.plan)
    try:
        write_text(out, written)
    except OSError as error:
        title = f"{out} cannot be made: {(error.strerror or str(error)).lower()}"
        raise RecipeError([Diagnostic("R802", title, help="choose another place with --out")], 3) from error
