"""Run a plan, step by step.

In: a `Run`. Out: its values and results filled. One function for each kind of step, in `RUN`; what
fails carries the step and its place in the recipe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from steerdsl.engine import claims, evaluation, extraction, outputs, selection
from steerdsl.engine.context import Run
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.methods.types import MethodError
from steerdsl.plan.plan import Plan, PlanStep

RUN_FAILED = 3

# Told before and after each step: the step, and the seconds it took (None before).
Watch = Callable[[PlanStep, float | None], None]


def run_plan(run: Run, watch: Watch) -> None:
    """Execute every step of the run's plan in order.

    Raises RecipeError with exit code 3 for a step that the data or the model do not allow; what
    earlier steps made stays in the run's results.
    """
    refuse(run.plan)
    _run_steps(run, run.plan.steps, watch)


def refuse(plan: Plan) -> None:
    """Raise one RecipeError (P720) that names every step this version cannot execute."""
    # The points of a sweep have the same steps, so the first speaks for all.
    every = [inner for s in plan.steps for inner in (s, *(s.points[0] if s.points else ()))]
    refused = [s for s in every if s.refusal]
    if refused:
        labels = tuple(Label(plan.source, s.step.span, s.refusal or "") for s in refused)
        names = " and ".join(dict.fromkeys(f"`{s.verb}`" for s in refused))
        title = f"this version cannot execute {names} here"
        raise RecipeError([Diagnostic("P720", title, labels, help="remove these steps, or use a later version")])


def _run_steps(run: Run, steps: Sequence[PlanStep], watch: Watch) -> None:
    for planned in steps:
        watch(planned, None)
        start = time.perf_counter()
        try:
            RUN[type(planned.step)](run, planned)
        except MethodError as error:
            found = Diagnostic(error.code, error.problem, (_label(run, planned),), help=error.way_out)
            raise RecipeError([found], exit_code=RUN_FAILED) from error
        except RecipeError as error:
            placed = [d if d.labels else replace(d, labels=(_label(run, planned),)) for d in error.diagnostics]
            raise RecipeError(placed, error.exit_code) from error
        if planned.key is not None and planned.name:
            run.keys[planned.name] = planned.key
        watch(planned, time.perf_counter() - start)


def _label(run: Run, planned: PlanStep) -> Label:
    return Label(run.plan.source, planned.step.span, f"step {planned.number}, {planned.verb}")


def _steer(run: Run, planned: PlanStep) -> None:
    """Name a steer, and make its edits once, so that a direction that cannot act fails here."""
    assert isinstance(planned.step, r.Steer)
    run.steers[planned.name] = planned.step
    evaluation.touches(run, planned.name)


def _sweep(run: Run, planned: PlanStep) -> None:
    """Every point of a sweep, one after another."""
    assert isinstance(planned.step, r.Sweep)
    outer = run.point
    for i, (point, steps) in enumerate(zip(planned.step.points, planned.points, strict=True)):
        run.point = {**outer, **point.labels}
        _run_steps(run, steps, lambda step, seconds: None)
        run.progress(f"points of {planned.name}", i + 1, len(planned.points))
    run.point = outer


RUN: Mapping[type, Callable[[Run, PlanStep], None]] = {
    r.Extract: extraction.extract,
    r.Bind: extraction.bind,
    r.Select: selection.select,
    r.Load: extraction.load,
    r.Steer: _steer,
    r.Generate: evaluation.generate_step,
    r.Evaluate: evaluation.evaluate_step,
    r.Sweep: _sweep,
    r.Check: claims.check,
    r.Plot: outputs.plot,
    r.Export: outputs.export,
}
