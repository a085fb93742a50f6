"""`steerdsl run`: run a recipe and leave a record."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.cli.printing import print_diagnostics
from steerdsl.cli.recipe import load_recipe
from steerdsl.lang.diagnostics import RecipeError, to_json
from steerdsl.show.door import json_text

if TYPE_CHECKING:
    from steerdsl.cli.prepare import Prepared
    from steerdsl.engine.context import Run
    from steerdsl.plan.plan import RunOptions
    from steerdsl.store.directory import RunDirectory
    from steerdsl.store.record import State

RUN_FAILED = 3
CHECK_FAILED = 4
NOT_SETTLED = 5
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
    """Run a recipe or a pack: extract, steer, generate, evaluate, check, and write a record.

    Exit code 3 means that the run failed, 4 that a `check` of the recipe failed or that something
    differs from its lock, 5 that no `check` failed but the prompts were too few to settle one.

    \b
    Example:
      steerdsl run recipes/econ.steer --set strength=2 --out runs/strong
      steerdsl run -e 'extract diffmean from econ vs generic; ablate layers 6,16,22'
    """
    from steerdsl.cli.ending import heard
    from steerdsl.cli.judging import require_judge
    from steerdsl.cli.lock import hold
    from steerdsl.cli.prepare import prepare
    from steerdsl.cli.progress import Progress
    from steerdsl.store.directory import RunDirectory

    begun = time.time()
    with heard():
        with Progress(shown=not quiet) as progress:
            progress(f"reading {file or 'the recipe'}", 0, 0)
            checked = load_recipe(file, text, chosen.sets, chosen.allow)
            prepared = prepare(checked, chosen, fetch=True, progress=progress)
            hold(prepared.plan, file, locked)
            require_judge(prepared.plan)
            directory = RunDirectory.by_time(_stem(file)) if out is None else RunDirectory.create(out, force)
            wanted, directory.started = directory.path, begun
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
    from steerdsl.store.record import FINISHED

    if outcome.state not in FINISHED:
        return
    for folder in stopped_runs(directory.path):
        if remove_abandoned(folder) and not quiet:
            sys.stderr.write(f"removed {folder}, which a stopped run had left\n")


def _stem(file: str | None) -> str:
    return Path(file).stem if file not in (None, "-") and file else "recipe"


class Outcome:
    """How a run ended: its results, its exit code, and the diagnostics, or in one line what else, that ended
    it early."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.exit_code = 0
        self.state: State = "complete"
        self.stopped_at = ""
        self.error: RecipeError | None = None
        self.why: str | None = None


def execute(prepared: Prepared, directory: RunDirectory, progress: Any) -> Outcome:
    """Run the plan and finish the run directory, however the run ends: with a result, a diagnostic, a
    signal, a full disk or memory, or a bug, which is raised again once the record is written."""
    from steerdsl.cli.ending import listening
    from steerdsl.cli.finish import finish
    from steerdsl.engine.context import Run
    from steerdsl.store.makers import Makers
    from steerdsl.store.record import maker

    makers = Makers(maker(prepared.plan.options))
    store = replace(prepared.store, makers=makers)
    current = Run(prepared.plan, store, directory.fresh, progress, directory.keep)
    current.tell = progress.say
    outcome = Outcome(current)
    timings: list[dict[str, Any]] = []
    with listening() as ear:
        watch = Watch(outcome, progress, makers, timings)
        bug = _attempt(outcome, watch, ear)
        watch.lost()
        why = outcome.why or (None if outcome.error is None else str(outcome.error))
        finish(current, directory, outcome.state, outcome.stopped_at, timings, why)
    if bug is not None:
        sys.stderr.write(f"stopped at {outcome.stopped_at}; record in {directory.path}\n")
        raise bug
    return outcome


class Watch:
    """What is called before and after each step: it shows and times the step, and stops a run whose output
    nobody reads any more."""

    def __init__(self, outcome: Outcome, progress: Any, makers: Any, timings: list[dict[str, Any]]) -> None:
        self.outcome, self.progress, self.makers, self.timings = outcome, progress, makers, timings
        self.before = outcome.run.traffic()
        self.begun, self.under_way = 0.0, None

    def __call__(self, step: Any, seconds: float | None) -> None:
        from steerdsl.cli.ending import require_heard

        outcome = self.outcome
        if seconds is None:
            self.begun, self.under_way = time.perf_counter(), step
            self.makers.begin(step.number)
            outcome.stopped_at = f"step {step.number}, {step.verb} {step.name}".rstrip()
            self.progress.title(f"[{step.number}/{len(outcome.run.plan.steps)}] {step.verb} {step.name}".rstrip())
            require_heard()
        else:
            self._time(step, seconds)
            self.progress.finished("in the store already" if step.done else "")
            outcome.stopped_at = ""

    def lost(self) -> None:
        """Time a step that did not come to its end, for what it cost."""
        if self.under_way is not None:
            self._time(self.under_way, time.perf_counter() - self.begun)

    def _time(self, step: Any, seconds: float) -> None:
        now = self.outcome.run.traffic()
        gone, self.before, self.under_way = now.since(self.before), now, None
        about = {"step": step.number, "verb": step.verb, "name": step.name, "seconds": round(seconds, 3)}
        self.timings.append({**about, **gone})


def _attempt(outcome: Outcome, watch: Any, ear: Any) -> Exception | None:
    """Run the plan, and say in `outcome` how it ended; returns an exception that is a bug. From its end on
    `ear` is deaf: the record is written whatever comes."""
    from steerdsl.cli.ending import ended_by
    from steerdsl.engine.steps import run_plan

    try:
        try:
            run_plan(outcome.run, watch)
        finally:
            ear.deaf = True
        held = [check["holds"] for check in outcome.run.results.checks]
        if False in held:
            outcome.exit_code, outcome.state = CHECK_FAILED, "check failed"
        elif None in held:
            outcome.exit_code, outcome.state = NOT_SETTLED, "check not settled"
    except KeyboardInterrupt as stop:
        outcome.exit_code, outcome.state, outcome.why = INTERRUPTED, "interrupted", str(stop) or None
    except RecipeError as error:
        outcome.exit_code, outcome.state, outcome.error = error.exit_code, "failed", error
    except Exception as error:
        found = ended_by(error)
        outcome.exit_code, outcome.state, outcome.error = RUN_FAILED, "failed", found
        outcome.run.__dict__.pop("session", None)  # memory for the record
        if found is None:
            outcome.why = f"a bug in steerdsl: {type(error).__name__}: {error}"
            return error
    return None


def _report(outcome: Outcome, directory: RunDirectory, as_json: bool, quiet: bool) -> None:
    """Print what a run found, or how far it got: a summary, of which the directory has the rest."""
    results = outcome.run.results
    told = {notice.title for notice in outcome.run.plan.notices}
    for warning in dict.fromkeys(w for w in results.warnings if w not in told):
        sys.stderr.write(f"warning: {warning}\n")
    if outcome.error is not None:
        print_diagnostics(outcome.error.diagnostics, sys.stderr)
    if as_json:
        summary = {
            "state": outcome.state,
            "run": str(directory.path),
            "scores": results.scores,
            "checks": results.checks,
            "choices": {name: choice["chosen"] for name, choice in results.choices.items()},
            "diagnostics": [to_json(d) for d in outcome.error.diagnostics] if outcome.error else [],
        }
        sys.stdout.write(json_text(summary) + "\n")
    elif quiet:
        _print_failed(results.checks)
    else:
        _print_summary(directory.path)
        if outcome.stopped_at:
            why = f" ({outcome.why})" if outcome.why else ""
            sys.stderr.write(f"stopped at {outcome.stopped_at}{why}; record in {directory.path}\n")


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
    from steerdsl.store.finished import open_run

    found = open_run(folder)
    Terminal().print(summary(folder, found.record, found.scores, found.answers))
