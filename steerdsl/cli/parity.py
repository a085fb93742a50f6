"""`steerdsl parity`: run a recipe here and elsewhere, and compare what they compute, step by step."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from errno import EISDIR
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.cli.recipe import load_recipe, prepare
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError

if TYPE_CHECKING:
    from steerdsl.cli.progress import Progress
    from steerdsl.engine.context import Run
    from steerdsl.lang.check import Checked
    from steerdsl.planning.plan import PlanStep, RunOptions


@o.run_options(*o.COMMON, "host", "insecure")
def parity(
    file: o.File = None,
    text: o.Text = None,
    on: Annotated[str, typer.Option(help="what to compare with: simulate or ndif")] = "ndif",
    *,
    chosen: RunOptions,
    out: Annotated[
        Path | None, typer.Option(help="the file for the comparison", show_default="NAME.parity.json", metavar="FILE")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print no progress")] = False,
) -> None:
    """Run a recipe locally and on a server, compare what they compute, and save the comparison.

    Uses no results from the store. Exit code 4 means that tokens or chosen layers differ, or that a
    vector, a logit that was read or a score differs by more than the limit of its dtype.

    \b
    Example:
      steerdsl parity recipes/econ.steer --on ndif --host http://127.0.0.1:8001
    """
    from steerdsl.cli.progress import Progress
    from steerdsl.engine.backend_comparison import compare, follow, greet
    from steerdsl.store.files import write_json

    if on == "local":
        raise typer.BadParameter("parity compares this machine with --on simulate or --on ndif")
    checked = load_recipe(file, text, chosen.sets, chosen.allow)
    path = out or Path(f"{Path(file).stem if file not in (None, '-') and file else 'recipe'}.parity.json")
    _require_place(path)
    with Progress(shown=not quiet) as progress, tempfile.TemporaryDirectory() as folder:
        # What fails, fails before either side runs.
        there = _begin(checked, replace(chosen, on=on), Path(folder) / "there", progress)
        greet(there)
        here = _begin(checked, replace(chosen, on="local"), Path(folder) / "here", progress)
        first = follow(here, _titles(here, progress))
        del here  # the model, which a rehearsal opens again
        found = compare(first, follow(there, _titles(there, progress)))
    source = checked.source
    found["recipe"] = {"name": source.name, "sha256": hashlib.sha256(source.text.encode()).hexdigest()}
    write_json(path, found)
    _print(found, path)
    raise typer.Exit(Exit.OK if found["equal"] else Exit.CHECK_FAILED)


def _require_place(path: Path) -> None:
    """Raise RecipeError R802 where the receipt cannot be written."""
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, "is a directory")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        title = f"{path} could not be created: {(error.strerror or str(error)).lower()}"
        raise RecipeError([Diagnostic("R802", title, help="choose another path with --out")], Exit.FAILED) from error


def _begin(checked: Checked, options: RunOptions, folder: Path, progress: Progress) -> Run:
    """A run that is ready to start, with a temporary store."""
    from steerdsl.engine.context import Run
    from steerdsl.engine.judge_client import require_judge
    from steerdsl.engine.operand_activations import SOURCES
    from steerdsl.store.results import Store

    plan = prepare(checked, options, fetch=True, progress=progress).plan
    require_judge(plan)
    folder.mkdir()
    return Run(plan, Store(folder / "store"), folder, SOURCES, progress, tell=progress.say)


def _titles(run: Run, progress: Progress) -> Callable[[PlanStep], None]:
    """Shows which step has begun."""
    steps, on = len(run.plan.steps), run.plan.options.on
    return lambda step: progress.title(f"{on} [{step.number}/{steps}] {step.verb} {step.name}")


def _print(found: dict[str, Any], path: Path) -> None:
    """One line for each step, then the verdict."""
    rows = [("step", "vectors", "layers", "logits", "scores", "tokens"), *map(_row, found["steps"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    verdict = "equal" if found["equal"] else "not equal"
    sys.stderr.write(f"{' and '.join(found['places'])} are {verdict} ({found['dtype']}); comparison in {path}\n")


def _row(step: dict[str, Any]) -> Sequence[str]:
    def figure(value: float | str | None) -> str:
        return "-" if value is None else value if isinstance(value, str) else f"{value:.1e}" if value else "0"

    tokens, layers = step["tokens"], step["layers"]
    told = "-" if tokens is None else f"{tokens['different']} of {tokens['answers']} answers differ"
    chosen = "-" if layers is None else "same" if all(a == b for a, b in layers.values()) else "differ"
    return (
        f"{step['step']} {step['verb']} {step['name']}".rstrip(),
        figure(step["vectors"]),
        chosen,
        figure(step["logits"]),
        figure(step["scores"]),
        told,
    )
