"""Runs a plan, however it ends: with a result, a diagnostic, a signal, a full disk, or a bug.

In: a plan, a store, a run directory in the making. Out: an `Outcome`, and the directory with its record.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from steerdsl.engine.context import Run
from steerdsl.engine.operand_activations import SOURCES
from steerdsl.engine.steps import run_plan
from steerdsl.lang.diagnostics import Exit, RecipeError
from steerdsl.planning.plan import Plan, PlanStep
from steerdsl.running.ending import Ear, ended_by, listening, require_heard
from steerdsl.running.finish import finish
from steerdsl.running.outcome import EXIT_CODES, Outcome
from steerdsl.running.progress import STORED, StepProgress
from steerdsl.running.record import maker
from steerdsl.store.directory import RunDirectory
from steerdsl.store.provenance import Makers
from steerdsl.store.results import Store


def execute(
    plan: Plan, store: Store, directory: RunDirectory, progress: StepProgress, *, last: bool = False
) -> Outcome:
    """Run the plan and finish the run directory, however the run ends; `last`: the process ends with it."""
    makers = Makers(maker(plan.options))
    run = Run(plan, replace(store, makers=makers), directory.fresh, SOURCES, progress, directory.keep)
    run.tell = progress.say
    outcome = Outcome(directory, run.results, [notice.title for notice in plan.notices])
    outcome.makers = makers
    with listening(last=last) as ear:
        watch = StepWatch(run, outcome, progress, makers)
        _attempt(run, outcome, watch, ear)
        watch.lost()
        why = outcome.why or (None if outcome.error is None else str(outcome.error))
        finish(run, directory, outcome.state, outcome.stopped_at, watch.timings, why)
    return outcome


class StepWatch:
    """What is called before and after each step: it shows and times the step, and stops a run whose output
    nobody reads any more."""

    def __init__(self, run: Run, outcome: Outcome, progress: StepProgress, makers: Makers) -> None:
        self.run, self.outcome, self.progress, self.makers = run, outcome, progress, makers
        self.timings: list[dict[str, Any]] = []
        self.before = run.traffic()
        self.begun = 0.0
        self.under_way: PlanStep | None = None
        # Asked of the store that is used: the plan may have been made with another.
        keys = (step.key for step in run.plan.steps if step.weights)
        self.had = {key for key in keys if key is not None and run.store.has(key)}

    def __call__(self, step: PlanStep, seconds: float | None) -> None:
        outcome = self.outcome
        if seconds is None:
            self.begun, self.under_way = time.perf_counter(), step
            self.makers.begin(step.number)
            outcome.stopped_at = f"step {step.number}, {step.verb} {step.name}".rstrip()
            self.progress.title(f"[{step.number}/{len(self.run.plan.steps)}] {step.verb} {step.name}".rstrip())
            require_heard()
        else:
            self._time(step, seconds)
            self.progress.finished(STORED if self._taken(step) else "")
            outcome.stopped_at = ""

    def _taken(self, step: PlanStep) -> bool:
        """Whether the result of a step was in the store before the run, and was not made again."""
        return step.key in self.had and step.key not in self.makers.saved

    def lost(self) -> None:
        """Time a step that did not come to its end, for what it cost."""
        if self.under_way is not None:
            self._time(self.under_way, time.perf_counter() - self.begun)

    def _time(self, step: PlanStep, seconds: float) -> None:
        now = self.run.traffic()
        gone, self.before, self.under_way = now.since(self.before), now, None
        about = {"step": step.number, "verb": step.verb, "name": step.name, "seconds": round(seconds, 3)}
        self.timings.append({**about, **gone})


def _attempt(run: Run, outcome: Outcome, watch: StepWatch, ear: Ear) -> None:
    """Run the plan, and say in `outcome` how it ended. From its end on `ear` is deaf: the record is written
    whatever comes."""
    try:
        try:
            run_plan(run, watch)
        finally:
            ear.deaf = True
        held = [check["holds"] for check in run.results.checks]
        if False in held:
            outcome.state = "check failed"
        elif None in held:
            outcome.state = "check not settled"
        outcome.exit_code = EXIT_CODES[outcome.state]
    except KeyboardInterrupt as stop:
        outcome.exit_code, outcome.state, outcome.why = Exit.INTERRUPTED, "interrupted", str(stop) or None
    except RecipeError as error:
        outcome.exit_code, outcome.state, outcome.error = error.exit_code, "failed", error
    except Exception as error:
        found = ended_by(error)
        outcome.exit_code, outcome.state, outcome.error = Exit.FAILED, "failed", found
        if found is None:
            outcome.why = f"a bug in steerdsl: {type(error).__name__}: {error}"
            outcome.bug = error
