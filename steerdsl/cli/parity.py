"""`steerdsl parity`: run a recipe here and elsewhere, and compare what they compute, step by step."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.cli.recipe import load_recipe

if TYPE_CHECKING:
    from steerdsl.cli.prepare import Prepared
    from steerdsl.cli.progress import Progress
    from steerdsl.engine.parity import Trail
    from steerdsl.plan.plan import RunOptions

CHECK_FAILED = 4


@o.run_options(*o.COMMON, "host", "insecure")
def parity(
    file: o.File = None,
    text: o.Text = None,
    on: Annotated[str, typer.Option(help="the other place: simulate or ndif")] = "ndif",
    *,
    chosen: RunOptions,
    out: Annotated[
        Path | None, typer.Option(help="the receipt", show_default="NAME.parity.json", metavar="FILE")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print no progress")] = False,
) -> None:
    """Run a recipe here and on a server, compare what they compute, and write a receipt.

    Nothing is taken from the store. Exit code 4 means that tokens differ, or, in float32, that vectors
    differ by more than 1e-6.

    \b
    Example:
      steerdsl parity recipes/econ.steer --on ndif --host http://127.0.0.1:8001
    """
    from steerdsl.cli.judging import require_judge
    from steerdsl.cli.prepare import prepare
    from steerdsl.cli.progress import Progress
    from steerdsl.engine.parity import compare
    from steerdsl.store.files import write_json

    checked = load_recipe(file, text, chosen.sets, chosen.allow)
    trails = []
    with Progress(shown=not quiet) as progress:
        for place in ("local", on):
            prepared = prepare(checked, replace(chosen, on=place), fetch=True, progress=progress)
            require_judge(prepared.plan)
            trails.append(_walk(prepared, progress))
    found = compare(*trails)
    source = checked.source
    found["recipe"] = {"name": source.name, "sha256": hashlib.sha256(source.text.encode()).hexdigest()}
    path = out or Path(f"{Path(file).stem if file not in (None, '-') and file else 'recipe'}.parity.json")
    write_json(path, found)
    _print(found, path)
    raise typer.Exit(0 if found["equal"] else CHECK_FAILED)


def _walk(prepared: Prepared, progress: Progress) -> Trail:
    """Run a plan with a store of its own, which is thrown away, and keep what it computed."""
    from steerdsl.engine.parity import follow
    from steerdsl.store.results import Store

    steps, on = len(prepared.plan.steps), prepared.plan.options.on
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        return follow(
            prepared.plan,
            store,
            Path(folder),
            progress,
            progress.say,
            lambda step: progress.title(f"{on} [{step.number}/{steps}] {step.verb} {step.name}"),
        )


def _print(found: dict[str, Any], path: Path) -> None:
    """One line for each step, then the verdict."""
    rows = [("step", "vectors", "logits", "tokens"), *(_row(step) for step in found["steps"])]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    verdict = "equal" if found["equal"] else "not equal"
    sys.stderr.write(f"{' and '.join(found['places'])} are {verdict} ({found['dtype']}); receipt in {path}\n")


def _row(step: dict[str, Any]) -> Sequence[str]:
    def figure(value: float | None) -> str:
        return "-" if value is None else f"{value:.1e}" if value else "0"

    tokens = step["tokens"]
    told = "-" if tokens is None else f"{tokens['different']} of {tokens['answers']} answers differ"
    return (
        f"{step['step']} {step['verb']} {step['name']}".rstrip(),
        figure(step["vectors"]),
        figure(step["logits"]),
        told,
    )
