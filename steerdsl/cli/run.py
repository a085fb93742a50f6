"""`steerdsl run`: run a recipe and leave a record."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.cli.printing import print_diagnostics
from steerdsl.cli.recipe import load_recipe, note, warn
from steerdsl.lang.diagnostics import to_json
from steerdsl.share.lock import lock_path
from steerdsl.show.door import json_text

if TYPE_CHECKING:
    from steerdsl.cli.progress import Progress
    from steerdsl.pipeline import Prepared
    from steerdsl.planning.plan import RunOptions
    from steerdsl.running.outcome import Outcome


@o.run_options(*o.COMMON, "on", "host", "insecure", "judge_url", "judge_model", "keep_unsafe")
def run(
    file: o.File = None,
    text: o.Text = None,
    *,
    chosen: RunOptions,
    out: Annotated[
        Path | None, typer.Option(help="the run directory", show_default="runs/NAME-TIME", metavar="DIR")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an existing run directory")] = False,
    as_json: o.Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print no progress and no tables")] = False,
    locked: Annotated[bool, typer.Option("--locked", help="run only if nothing differs from the lock")] = False,
) -> None:
    """Run a recipe or a pack: extract, steer, generate, evaluate, check, and write a record.

    Exit code 3 means that the run failed, 4 that a `check` of the recipe failed or that something
    differs from its lock, 5 that no `check` failed but the prompts were too few to settle one.

    \b
    Example:
      steerdsl run recipes/econ.steer --set strength=2 --out runs/strong
      steerdsl run -e 'extract diffmean from econ vs generic; ablate layers 6,16,22'
    """
    from steerdsl.cli.lock import hold
    from steerdsl.cli.progress import Progress
    from steerdsl.pipeline import Caller, recipe_to_run
    from steerdsl.running.ending import heard
    from steerdsl.running.outcome import remove_stopped

    begun = time.time()
    with heard():
        with Progress(shown=not quiet) as progress:
            progress(f"reading {file or 'the recipe'}", 0, 0)
            checked = load_recipe(file, text, chosen.sets, chosen.allow)
            path = Path(file) if file not in (None, "-") and file else None
            outcome = recipe_to_run(
                checked,
                chosen,
                path.stem if path else "recipe",
                Caller(warn, note, lambda plan: hold(plan, file, locked)),
                lock=lock_path(path) if path else None,
                locked=locked,
                out=out,
                force=force,
                progress=progress,
                started=begun,
                last=True,
            )
            _require_no_bug(outcome)
        folder = outcome.directory.path
        if out is not None and folder != outcome.directory.wanted:
            where = f"and is left as it is; this run is in {folder}"
            sys.stderr.write(f"note: {outcome.directory.wanted} was made meanwhile, {where}\n")
        _report(outcome, folder, as_json, quiet)
        for left in remove_stopped(outcome):
            if not quiet:
                sys.stderr.write(f"removed {left}, which a stopped run had left\n")
    raise typer.Exit(outcome.exit_code)


def execute(prepared: Prepared, name: str, progress: Progress, **where: Any) -> Outcome:
    """Run a plan as `plan_to_run` does. A bug is raised again once the record is written, and said where."""
    from steerdsl.pipeline import plan_to_run

    outcome = plan_to_run(prepared, name, progress=progress, last=True, **where)
    _require_no_bug(outcome)
    return outcome


def _require_no_bug(outcome: Outcome) -> None:
    if outcome.bug is not None:
        sys.stderr.write(f"stopped at {outcome.stopped_at}; record in {outcome.directory.path}\n")
        raise outcome.bug


def _report(outcome: Outcome, folder: Path, as_json: bool, quiet: bool) -> None:
    """Print what a run found, or how far it got: a summary, of which the directory has the rest."""
    results = outcome.results
    for warning in dict.fromkeys(w for w in results.warnings if w not in outcome.told):
        sys.stderr.write(f"warning: {warning}\n")
    for line in dict.fromkeys(results.notes):
        sys.stderr.write(f"note: {line}\n")
    if outcome.error is not None:
        print_diagnostics(outcome.error.diagnostics, sys.stderr)
    if as_json:
        summary = {
            "state": outcome.state,
            "run": str(folder),
            "scores": results.scores.to_json(),
            "checks": results.checks,
            "choices": {name: choice["chosen"] for name, choice in results.choices.items()},
            "diagnostics": [to_json(d) for d in outcome.error.diagnostics] if outcome.error else [],
        }
        sys.stdout.write(json_text(summary) + "\n")
    elif quiet:
        _print_failed(results.checks)
    else:
        _print_summary(folder)
        if outcome.stopped_at:
            why = f" ({outcome.why})" if outcome.why else ""
            sys.stderr.write(f"stopped at {outcome.stopped_at}{why}; record in {folder}\n")


def _print_failed(checks: Sequence[Mapping[str, Any]]) -> None:
    """The claims that do not hold: what the exit code is for, also where nothing else is printed."""
    from steerdsl.measure.verdict import HOLDS
    from steerdsl.show.sentences import claims

    for claim in claims(checks):
        if claim.verdict != HOLDS:
            sys.stderr.write(f"{claim.verdict}: {claim.text}: {claim.found}\n")


def _print_summary(folder: Path) -> None:
    from steerdsl.show.summary import summary
    from steerdsl.show.terminal import Terminal
    from steerdsl.store.finished_run import open_run

    found = open_run(folder)
    Terminal().print(summary(folder, found.record, found.scores, found.answers))
