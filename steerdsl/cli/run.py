"""`steerdsl run`: run a recipe and leave a record."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.cli.printing import print_diagnostics
from steerdsl.cli.recipe import load_recipe
from steerdsl.lang.diagnostics import RecipeError

if TYPE_CHECKING:
    from steerdsl.cli.prepare import Prepared
    from steerdsl.engine.context import Run
    from steerdsl.plan.plan import RunOptions
    from steerdsl.store.directory import RunDirectory
    from steerdsl.store.record import State

CHECK_FAILED = 4
INTERRUPTED = 130


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
    """Run a recipe, or a pack: extract, steer, generate, evaluate, check, and leave a record.

    Exit code 3 means that the run failed, 4 that a `check` of the recipe failed, or that something
    differs from its lock.

    \b
    Example:
      steerdsl run recipes/econ.steer --set strength=2 --out runs/strong
      steerdsl run -e 'extract diffmean from econ vs generic; ablate layers 6,16,22'
    """
    from steerdsl.cli.judging import require_judge
    from steerdsl.cli.lock import hold
    from steerdsl.cli.prepare import prepare
    from steerdsl.cli.progress import Progress
    from steerdsl.store.directory import RunDirectory

    checked = load_recipe(file, text, chosen.sets, chosen.allow)
    with Progress(shown=not quiet) as progress:
        prepared = prepare(checked, chosen, fetch=True, progress=progress)
        hold(prepared.plan, file, locked)
        require_judge(prepared.plan)
        directory = RunDirectory.by_time(_stem(file)) if out is None else RunDirectory.create(out, force)
        wanted = directory.path
        outcome = execute(prepared, directory, progress)
    if out is not None and directory.path != wanted:
        where = f"and is left as it is; this run is in {directory.path}"
        sys.stderr.write(f"note: {wanted} was made meanwhile, {where}\n")
    _report(outcome, directory, as_json, quiet)
    _tidy(outcome, directory, quiet)
    raise typer.Exit(outcome.exit_code)


def _tidy(outcome: Outcome, directory: RunDirectory, quiet: bool) -> None:
    """Once a run has come to its end, remove what killed runs of the same name left: the store had
    their answers, and this run has them now."""
    from steerdsl.store.claims import remove_abandoned, stopped_runs

    if outcome.state not in ("complete", "check failed"):
        return
    for folder in stopped_runs(directory.path):
        if remove_abandoned(folder) and not quiet:
            sys.stderr.write(f"removed {folder}, which a stopped run had left\n")


def _stem(file: str | None) -> str:
    return Path(file).stem if file not in (None, "-") and file else "recipe"


class Outcome:
    """How a run ended: its results, its exit code, and the diagnostics that ended it early."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.exit_code = 0
        self.state: State = "complete"
        self.stopped_at = ""
        self.error: RecipeError | None = None


def execute(prepared: Prepared, directory: RunDirectory, progress: Any) -> Outcome:
    """Run the plan and finish the run directory, however the run ends."""
    from steerdsl.cli.finish import finish
    from steerdsl.engine.context import Run
    from steerdsl.engine.steps import run_plan
    from steerdsl.store.makers import Makers
    from steerdsl.store.record import maker

    makers = Makers(maker(prepared.plan.options))
    store = replace(prepared.store, makers=makers)
    current = Run(prepared.plan, store, directory.fresh, progress, directory.keep)
    current.tell = progress.say
    outcome = Outcome(current)
    timings: list[dict[str, Any]] = []
    before, begun = current.traffic(), 0.0
    under_way: Any = None

    def ended(step: Any, seconds: float) -> None:
        nonlocal before, under_way
        before, gone, under_way = current.traffic(), current.traffic().since(before), None
        about = {"step": step.number, "verb": step.verb, "name": step.name, "seconds": round(seconds, 3)}
        timings.append({**about, **gone})

    def watch(step: Any, seconds: float | None) -> None:
        nonlocal begun, under_way
        if seconds is None:
            begun, under_way = time.perf_counter(), step
            makers.begin(step.number)
            outcome.stopped_at = f"step {step.number}, {step.verb} {step.name}".rstrip()
            progress.title(f"[{step.number}/{len(prepared.plan.steps)}] {step.verb} {step.name}")
        else:
            ended(step, seconds)

    try:
        run_plan(current, watch)
        outcome.stopped_at = ""
        if not all(check["holds"] for check in current.results.checks):
            outcome.exit_code, outcome.state = CHECK_FAILED, "check failed"
    except KeyboardInterrupt:
        outcome.exit_code, outcome.state = INTERRUPTED, "interrupted"
    except RecipeError as error:
        outcome.exit_code, outcome.state, outcome.error = error.exit_code, "failed", error
    if under_way is not None:  # what a step cost that did not come to its end
        ended(under_way, time.perf_counter() - begun)
    finish(current, directory, outcome.state, outcome.stopped_at, timings, outcome.error)
    return outcome


def _report(outcome: Outcome, directory: RunDirectory, as_json: bool, quiet: bool) -> None:
    """Print what a run found, or how far it got."""
    from steerdsl.show.visible import visible

    results = outcome.run.results
    told = {notice.title for notice in outcome.run.plan.notices}
    for warning in dict.fromkeys(w for w in results.warnings if w not in told):
        sys.stderr.write(visible(f"warning: {warning}\n"))
    if outcome.error is not None:
        print_diagnostics(outcome.error.diagnostics, sys.stderr)
    if as_json:
        summary = {
            "state": outcome.state,
            "run": str(directory.path),
            "scores": results.scores,
            "checks": results.checks,
            "choices": {name: choice["chosen"] for name, choice in results.choices.items()},
        }
        sys.stdout.write(json.dumps(summary, ensure_ascii=False) + "\n")
    elif not quiet:
        from steerdsl.show.curves import curves
        from steerdsl.show.tables import results as tables
        from steerdsl.show.terminal import Terminal

        console = Terminal()
        for table in curves(results.scores, results.choices):
            console.print(table)
        console.print(tables(results.scores, results.rows, results.checks))
    if not quiet and not as_json:
        end = f"stopped at {outcome.stopped_at}; " if outcome.stopped_at else ""
        sys.stderr.write(f"{end}record in {directory.path}\n")
