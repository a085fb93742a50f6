"""Run a plan, step by step.

In: a `Run`. Out: its values and results filled. One function for each kind of step, in `RUN`; what
fails carries the step and its place in the recipe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from steerdsl.engine import (
    answer_data,
    checks,
    class_vectors,
    evaluation,
    extraction,
    failed_points,
    outputs,
    projections,
    readings,
    scales,
    selection,
    tuning,
)
from steerdsl.engine.context import Run
from steerdsl.engine.generate_shared import Asks
from steerdsl.engine.stored_answers import forget, touches
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Exit, Label, RecipeError
from steerdsl.lang.lower.word_axes import varying
from steerdsl.lang.tuned import settled
from steerdsl.measure import harm
from steerdsl.measure.scores import adjust
from steerdsl.measure.table import Table, said
from steerdsl.methods.types import MethodError
from steerdsl.planning.controls import Variant
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.power import TOO_FEW
from steerdsl.planning.shared_batches import asks, reach
from steerdsl.store.speeds import keep_speeds, speeds_file

# Told before and after each step: the step, and the seconds it took (None before).
Watch = Callable[[PlanStep, float | None], None]
Runner = Callable[[Run, PlanStep], None]
CLASSES = (r.Classes, r.ClassAxes, r.Components, r.EachOrthogonal)
# Steps that name what a steer acts with or what that is made from, or a steer.
VALUES = (r.Extract, *CLASSES, r.Bind, r.Select, r.Load, r.Tune, r.Steer, r.AnswerData)
UNSAFE_LEFT = (
    "answers to data that is declared unsafe stay in the store until this recipe is run to its end; "
    "`steerdsl store prune --all --kind answers --kind batch` removes them"
)


def run_plan(run: Run, watch: Watch) -> None:
    """Execute every step of the run's plan in order.

    Answers to data that is declared unsafe are in the store until the run has come to its end, for a run
    that is stopped to go on from.

    Raises RecipeError with exit code 3 for a step that the data or the model do not allow; what
    earlier steps made stays in the run's results. Where single points of a sweep fail, everything else
    is run first.
    """
    for line in [text for step in run.plan.steps for label, text in step.facts if label == TOO_FEW]:
        run.tell(line)
        run.results.warnings.append(line)
    unsafe = _hides_answers(run)
    try:
        _run_steps(run, watch)
    except BaseException:
        if unsafe:
            run.results.warnings.append(UNSAFE_LEFT)
        raise
    finally:
        _keep_speeds(run)
    run.results.warnings += harm.warnings(*_without_trials(run))
    if unsafe:
        forget(run.store)
    readings.forget(run)
    failed_points.require_none_failed(run)


def _without_trials(run: Run) -> tuple[list[dict[str, Any]], Table]:
    """The answers and the figures but for those of searches, which go to where a model breaks on purpose."""
    tried = {name for found in run.results.searches.values() for name in found["evaluations"]}
    rows = [row for row in run.results.rows if row["step"] not in tried]
    return rows, run.results.scores.without(tried)


def make_values(run: Run, watch: Watch) -> None:
    """Execute the steps that name vectors, planes, layers, tuned numbers and steers, and no other: what a steer needs
    to act.

    Raises RecipeError as `run_plan`.
    """
    for _, planned in _in_order(run):
        if not isinstance(planned.step, VALUES):
            continue
        watch(planned, None)
        start = time.perf_counter()
        run.shared = planned.shared
        _step(run, planned, {**RUN, r.Steer: _steer})
        watch(planned, time.perf_counter() - start)
    if _hides_answers(run):
        forget(run.store)


def _hides_answers(run: Run) -> bool:
    """Whether answers to some data set are neither printed nor kept."""
    return any(data.spec.unsafe for data in run.plan.data.values()) and not run.plan.options.keep_unsafe


def _keep_speeds(run: Run) -> None:
    """Keep how fast this machine was, for the next plan."""
    weights, makers = run.plan.model.located.weights_sha256, run.store.makers
    if weights is not None and makers is not None and run.plan.options.on == "local":
        keep_speeds(speeds_file(weights, run.plan.dtype, makers.here), run.measured)


def _in_order(run: Run) -> Iterator[tuple[int, PlanStep]]:
    """The steps of the plan and their places. Once a data set of answers is made, those after it are planned again."""
    for place in range(len(run.plan.steps)):
        yield place, run.plan.steps[place]


def _run_steps(run: Run, watch: Watch) -> None:
    """Run steps. What a step asks is answered together with what the steps after it ask, as the plan has it."""
    reached = 0
    for place, planned in _in_order(run):
        watch(planned, None)
        start = time.perf_counter()
        run.shared = planned.shared
        if place >= reached and asks(planned.step):
            reached = reach(run.plan.steps, place)
            _answer_together(run, run.plan.steps[place:reached])
        _step(run, planned, RUN)
        watch(planned, time.perf_counter() - start)


def _step(run: Run, planned: PlanStep, runners: Mapping[type, Runner]) -> None:
    """Run one step as `runners` say, with what searches chose put in; what fails carries the step and its place."""
    if run.values.tuned and not isinstance(planned.step, r.Sweep):  # a sweep's steps come here one by one
        planned = replace(planned, step=settled(planned.step, run.values.tuned, {}))
    try:
        runners[type(planned.step)](run, planned)
    except MethodError as error:
        found = Diagnostic(error.code, error.problem, (_label(run, planned),), help=error.way_out)
        raise RecipeError([found], Exit.FAILED) from error
    except RecipeError as error:
        placed = [d if d.labels else replace(d, labels=(_label(run, planned),)) for d in error.diagnostics]
        raise RecipeError(placed, error.exit_code) from error
    if planned.key is not None and planned.name:
        run.keys[planned.name] = planned.key


def _label(run: Run, planned: PlanStep) -> Label:
    return Label(run.plan.source, planned.step.span, f"step {planned.number}, {planned.verb}")


def _steer(run: Run, planned: PlanStep) -> None:
    """Name a steer, and make its edits once, so that a direction that cannot act fails here."""
    assert isinstance(planned.step, r.Steer)
    run.steers[planned.name] = planned.step
    touches(run, Variant(planned.name, planned.name))


def _stated_steer(run: Run, planned: PlanStep) -> None:
    """Name a steer, and say in the record how much it adds."""
    _steer(run, planned)
    assert isinstance(planned.step, r.Steer)
    run.results.doses += scales.stated(run, planned.step)


def _sweep(run: Run, planned: PlanStep) -> None:
    """Every point of a sweep, one after another. A point that fails is marked, and the rest is kept."""
    assert isinstance(planned.step, r.Sweep)
    apart = varying(planned.step.points) if planned.step.words else set()
    choices = run.results.choices
    for i, steps in enumerate(_points(run, planned)):
        left = list(steps)
        try:
            while left:
                _step(run, left[0], RUN)
                del left[0]
        except RecipeError as error:
            if not failed_points.of_one_point(error):
                raise
            failed_points.mark(run, planned, left, error)
        for name in apart & choices.keys():  # each point's own choice, which the next would replace
            choices[f"{name} at {said(run.point)}"] = choices.pop(name)
        run.progress(f"points of {planned.name}", i + 1, len(planned.points))
    failed_points.fill(run, planned)
    for name in {s.name for s in planned.points[0] if isinstance(s.step, r.Evaluate)}:
        run.results.scores = run.results.scores.put(name, adjust(run.results.scores.evaluations[name]))


def _tune(run: Run, planned: PlanStep) -> None:
    """A search, whose batches of trials are answered together and scored point by point."""

    def tried(points: PlanStep) -> list[str | None]:
        """Score each point; why it failed, where it did."""
        outer, run.shared = run.shared, points.shared
        _answer_together(run, [points])
        why: list[str | None] = []
        for steps in _points(run, points):
            why.append(None)
            try:
                for inner in steps:
                    _step(run, inner, {**RUN, r.Steer: _steer})
            except RecipeError as error:
                if not failed_points.of_one_point(error):
                    raise
                why[-1] = error.diagnostics[0].title
        run.shared = outer
        return why

    tuning.tune(run, planned, tried)


def _answer_together(run: Run, pool: Sequence[PlanStep]) -> None:
    """Go through steps for what they ask, and make those answers in shared batches. What they name stays
    with a copy of the run."""
    run.asks, then = Asks(run), run.as_now()
    before = len(run.results.warnings)

    def gather(then: Run, planned: PlanStep) -> None:
        for inner in _points(then, planned):
            with _failing_later():
                for step in inner:
                    _step(then, step, runners)

    special: Mapping[type, Runner] = {
        **{r.Generate: run.asks.gather, r.Evaluate: run.asks.gather, r.Sweep: gather, r.Steer: _steer},
        **dict.fromkeys((r.Check, r.Plot, r.Export), _later),
    }
    runners = {**RUN, **special}
    with _failing_later():
        for planned in pool:
            then.shared = planned.shared
            run.asks.shared |= planned.shared
            _step(then, planned, runners)
    del run.results.warnings[before:]  # the steps will say the same when they run
    _step(run, pool[0], {type(pool[0].step): lambda run, planned: run.asks.answer()})


@contextmanager
def _failing_later() -> Iterator[None]:
    """Pass over a step that the data or the model do not allow, and what comes after it: it fails once more
    when it is run, and what comes before it is answered and kept."""
    try:
        yield
    except RecipeError as error:
        if not failed_points.of_one_point(error):
            raise


def _points(run: Run, planned: PlanStep) -> Iterator[Sequence[PlanStep]]:
    """The steps of each point, the run being there."""
    assert isinstance(planned.step, r.Sweep)
    outer = run.point
    for point, steps in zip(planned.step.points, planned.points, strict=True):
        run.point = {**outer, **point.labels}
        yield steps
    run.point = outer


def _later(run: Run, planned: PlanStep) -> None:
    """What is done once the answers are there."""


RUN: Mapping[type, Runner] = {
    r.Extract: extraction.extract,
    r.Classes: class_vectors.classes,
    r.ClassAxes: class_vectors.axes,
    r.Components: class_vectors.components,
    r.EachOrthogonal: class_vectors.each_orthogonal,
    r.Bind: extraction.bind,
    r.Select: selection.select,
    r.Load: extraction.load,
    r.Steer: _stated_steer,
    r.Generate: evaluation.generate_step,
    r.AnswerData: answer_data.answers_step,
    r.Evaluate: evaluation.evaluate_step,
    r.Read: projections.read_step,
    r.Sweep: _sweep,
    r.Tune: _tune,
    r.Check: checks.check,
    r.Plot: outputs.plot,
    r.Export: outputs.export,
}
