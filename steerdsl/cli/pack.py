"""`steerdsl pack`: a recipe, its lock, its data and a run of it as one file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steerdsl.cli import options as o
from steerdsl.cli.recipe import load_recipe, prepare
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError

if TYPE_CHECKING:
    from steerdsl.forms.record import Record
    from steerdsl.pipeline import Prepared
    from steerdsl.planning.plan import RunOptions


@o.run_options(*o.COMMON)
def pack(
    file: o.File = None,
    run: Annotated[
        Path | None, typer.Option(help="a finished run of it", show_default="runs it now", metavar="RUN")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the pack to write", show_default="NAME.steerpack", metavar="FILE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
    *,
    chosen: RunOptions,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print no progress")] = False,
) -> None:
    """Write one .steerpack file: a recipe, its lock, its data, and a run with vectors, answers and scores.

    `steerdsl run` and `steerdsl verify` accept it in place of a recipe and a run. The same run gives the
    same bytes. It contains no models, exports or hub data sets.

    \b
    Example:
      steerdsl pack recipes/econ.steer --run runs/econ --out econ.steerpack
    """
    from steerdsl.share.pack_inputs import PACK
    from steerdsl.share.receipt import read_record
    from steerdsl.share.recorded import as_recorded

    if file in (None, "-") or not file:
        raise typer.BadParameter("name a file: a pack contains a recipe and files from its folder")
    target = out or Path(Path(file).stem + PACK)
    if target.exists() and not force:
        help = "name another file with --out, or add --force"
        raise RecipeError([Diagnostic("R801", f"{target} already exists", help=help)], Exit.USAGE)
    record = None if run is None else read_record(run)
    if record is not None:
        chosen = replace(as_recorded(record, chosen), on=record["run"]["on"])
    prepared = _prepare(file, chosen, quiet)
    if run is None:
        run = _run(prepared, Path(file).stem, quiet)
        record = read_record(run)
    assert record is not None
    _write(target, Path(file), prepared, run, record)


def _prepare(file: str, options: RunOptions, quiet: bool) -> Prepared:
    """The plan, held to the lock next to the recipe if there is one."""
    from steerdsl.cli.lock import hold
    from steerdsl.cli.progress import Progress
    from steerdsl.share.lock import lock_path

    checked = load_recipe(file, None, options.sets, options.allow)
    with Progress(shown=not quiet) as progress:
        prepared = prepare(checked, options, fetch=True, progress=progress)
    hold(prepared.plan, file, locked=lock_path(Path(file)).exists())
    return prepared


def _run(prepared: Prepared, stem: str, quiet: bool) -> Path:
    """Run the recipe; the run directory."""
    from steerdsl.cli.printing import print_diagnostics
    from steerdsl.cli.progress import Progress
    from steerdsl.cli.run import execute

    with Progress(shown=not quiet) as progress:
        outcome = execute(prepared, stem, progress)
    if outcome.stopped_at:
        print_diagnostics(outcome.error.diagnostics if outcome.error else (), sys.stderr)
        raise typer.Exit(outcome.exit_code)
    return outcome.directory.path


def _write(target: Path, recipe: Path, prepared: Prepared, run: Path, record: Record) -> None:
    from steerdsl.models.cache import size_text
    from steerdsl.share.gather import gather
    from steerdsl.share.held import pins_of
    from steerdsl.share.lock import lock_text
    from steerdsl.share.pack import pack_bytes
    from steerdsl.share.pins import differences, pins
    from steerdsl.store.files import write_bytes

    made = pins_of(prepared.plan)
    stale = [d for d in differences(pins(record), made) if d.severity == "meaning" or d.name == "recipe.sha256"]
    if stale:
        title = f"{run} is not a run of the current recipe: {stale[0].name} differs"
        raise RecipeError([Diagnostic("R865", title, help="run the recipe again, or omit --run")])
    members = gather(recipe, lock_text(made), prepared.plan, run, record)
    data = pack_bytes(recipe.name, members)
    try:
        write_bytes(target, data)
    except OSError as error:
        title = f"{target} could not be created: {(error.strerror or str(error)).lower()}"
        raise RecipeError([Diagnostic("R802", title, help="choose another path with --out")], Exit.FAILED) from error
    for name, found in prepared.plan.data.items():
        if found.spec.kind == "hub":
            sys.stderr.write(f"note: {name} stays on the hub; its rows' hash is in the lock\n")
    print(f"{target}: {len(members)} files, {size_text(len(data))}")
