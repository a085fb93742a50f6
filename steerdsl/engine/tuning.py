"""The step that searches: batches of points are tried on prompts set aside, and the best within the limits is chosen.

In: a planned `tune`, and a function that scores planned points. Out: every trial's figures in the run's scores and in
its record; what was chosen in the run's values, in the record and in the store. A point's answers and figures are in
the store by what they depend on, so that a search that was stopped goes on, and one with more trials adds only these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from steerdsl.engine.checks import ClaimScores
from steerdsl.engine.context import Run
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Exit, Label, RecipeError
from steerdsl.measure.scores import adjust
from steerdsl.methods.search import Attempt, Search, SearchAxis, WorkingRange, best, nearest, working_range
from steerdsl.planning.formatting import count
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.searches import grid, in_unit, label, read_search
from steerdsl.store.files import write_json

# Scores planned points; why each failed, None where it did not.
Tried = Callable[[PlanStep], list[str | None]]
SHOWN = 5  # trials that a message lists


def tune(run: Run, planned: PlanStep, tried: Tried) -> None:
    """Search, or go through the trials of a search that the store knows."""
    step = planned.step
    assert isinstance(step, r.Tune) and planned.key is not None
    kept = run.store.load(planned.key, read_search)
    whole = Attempts(run, planned, step, tried)
    if kept is None:
        batches = _search(whole)
    else:
        batches = kept["batches"]
        for batch in batches:
            whole.make(batch)
    whole.file()
    top = best(whole.made, step.maximize)
    run.results.searches[step.name] = _record(whole, top)
    if top is None:
        found = _nothing(run, whole)
        raise RecipeError([found], Exit.CHECK_FAILED if found.code == "R931" else Exit.FAILED)
    if kept is None:
        made = {"batches": batches, "best": _point(whole, top)}
        run.store.put(planned.key, {"kind": "search"}, lambda fresh: write_json(fresh / "search.json", made))
    _choose(run, whole, top)


class Attempts:
    """The trials of one search so far. `points` are the planned points in their order."""

    def __init__(self, run: Run, planned: PlanStep, step: r.Tune, tried: Tried) -> None:
        self.run, self.planned, self.step, self.tried = run, planned, step, tried
        self.n_layers = run.plan.model.arch.n_layers
        self.made: list[Attempt] = []
        self.points: list[tuple[r.Point, tuple[PlanStep, ...]]] = []

    def make(self, values: Sequence[Mapping[str, float]]) -> list[Attempt]:
        """Try some points together."""
        self.run.progress(f"trials of {self.step.name}", len(self.made), self.step.trials)
        sweep = self.planned.trials.planned(values, self.planned.number)
        why = self.tried(sweep)
        self.points += zip(sweep.step.points, sweep.points, strict=True)
        new = [self._trial(at, reason) for at, reason in zip(values, why, strict=True)]
        self.made += new
        return new

    def at(self, trial: Attempt) -> dict[str, str]:
        """A trial's values as they would be typed."""
        return {axis.name: label(axis, trial.at[axis.name], self.n_layers) for axis in self.step.space}

    def layers(self, trial: Attempt) -> dict[str, int]:
        """A trial's layers."""
        return {axis.name: int(trial.at[axis.name]) for axis in self.step.space if axis.layers}

    def _trial(self, values: Mapping[str, float], failed: str | None) -> Attempt:
        found = Attempt(values, None, why=failed)
        if failed is not None:
            return replace(found, over=(None,) * len(self.step.limits), holds=(False,) * len(self.step.limits))
        at = {**self.run.point, **self.at(found)}
        goal = self._figure(self.step.goal, at)
        sides = [(self._figure(limit.left, at), self._figure(limit.right, at)) for limit in self.step.limits]
        over = [_over(limit.op, *both) for limit, both in zip(self.step.limits, sides, strict=True)]
        holds = [_holds(limit.op, *both) for limit, both in zip(self.step.limits, sides, strict=True)]
        return replace(found, goal=goal, over=tuple(over), holds=tuple(holds))

    def _figure(self, figure: r.Figure, at: Mapping[str, str]) -> float | None:
        """A figure at one point; None where there is none."""
        value = ClaimScores(self.run, r.Check(figure, ">", r.Figure()), dict(at)).figure(figure)
        return value if math.isfinite(value) else None

    def file(self) -> None:
        """Adjust the figures of all trials as one family, and let the run's plan have the points: plots read them."""
        scores, points = self.run.results.scores, self.points
        for name in {s.name for s in points[0][1] if isinstance(s.step, r.Evaluate)} & scores.evaluations.keys():
            scores = scores.put(name, adjust(scores.evaluations[name]))
        self.run.results.scores = scores
        step = replace(self.step, points=tuple(point for point, _ in points))
        made = replace(self.planned, step=step, points=tuple(steps for _, steps in points))
        steps = tuple(made if s.number == made.number else s for s in self.run.plan.steps)
        self.run.plan = replace(self.run.plan, steps=steps)


def _search(whole: Attempts) -> list[list[dict[str, float]]]:
    """Ask and try until there are as many trials as wanted, or no more points."""
    step, batches = whole.step, []
    axes = [SearchAxis(a.name, *_values(a, whole.n_layers), line=not a.layers) for a in step.space]
    search = Search(axes, step.maximize, step.batch, step.seed)
    while len(whole.made) < step.trials and (points := search.ask(step.trials - len(whole.made))):
        search.tell(whole.make(points))
        batches.append(points)
    return batches


def _values(axis: r.TuneAxis, n_layers: int) -> tuple[float, float, int]:
    low, high, step = grid(axis, n_layers)
    return low, step, int((high - low) / step + 1e-9) + 1


def _over(op: str, left: float | None, right: float | None) -> float | None:
    """By how much a limit is broken, as a share of the limit where it is not 0."""
    if left is None or right is None:
        return None
    gap = left - right if op in ("<", "<=") else right - left
    return gap / (abs(right) or 1.0)


def _holds(op: str, left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return False
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op]


def _choose(run: Run, whole: Attempts, top: Attempt) -> None:
    """Give what was chosen its names, and say what a reader should know of it."""
    step, name = whole.step, whole.step.name
    for axis in step.space:
        run.values.tuned[f"{name}.{axis.name}"] = in_unit(axis, top.at[axis.name], whole.n_layers)
    run.values.chosen |= {f"{name}.{axis}": (layer,) for axis, layer in whole.layers(top).items()}
    run.results.warnings += [f"{name}: {note}" for note in run.results.searches[name]["notes"]]


def _notes(whole: Attempts, top: Attempt) -> list[str]:
    """What is odd about the trials."""
    notes = []
    if _goals(whole) == 1 and len(whole.made) > 1:
        kept = " that keeps the limits" if whole.step.limits else ""
        same = f"the goal is {top.goal:.4g} at every trial{kept}"
        notes.append(f"{same}: it chose nothing, and the first of them is taken")
    failed = [trial for trial in whole.made if trial.why is not None]
    if failed:
        first = f"the first at {_said(whole, failed[0])}: {failed[0].why}"
        notes.append(f"{len(failed)} of {count(len(whole.made), 'trial')} failed, {first}")
    for axis in whole.step.space:
        low, step, values = _values(axis, whole.n_layers)
        if values > 2 and top.at[axis.name] in (low, SearchAxis("", low, step, values).value(values - 1)):
            notes.append(f"the best {axis.name} is at an end of its range: it may be better beyond")
    return notes


def _goals(whole: Attempts) -> int:
    """How many different goals the trials have that keep the limits."""
    return len({trial.goal for trial in whole.made if trial.feasible})


def _said(whole: Attempts, trial: Attempt) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in whole.at(trial).items())


def _point(whole: Attempts, trial: Attempt) -> dict[str, Any]:
    return {"at": whole.at(trial), "values": dict(trial.at), "layers": whole.layers(trial)}


def _record(whole: Attempts, top: Attempt | None) -> dict[str, Any]:
    """A search as the record keeps it."""
    step = whole.step
    about: dict[str, Any] = {
        "goal": step.text,
        "limits": [limit.text for limit in step.limits],
        "axes": {a.name: {"low": a.low, "high": a.high, "unit": a.unit, "layers": a.layers} for a in step.space},
        "seed": step.seed,
        "evaluations": sorted({s.name for s in step.points[0].steps if isinstance(s, r.Evaluate)}),
        "trials": [_line(whole, trial) for trial in whole.made],
        "best": None if top is None else _line(whole, top),
        "ranges": [],
        "notes": [],
    }
    if top is not None:
        lines = [axis.name for axis in step.space if not axis.layers]
        # Where every trial is as good as any other, no range is better than another.
        found = [working_range(whole.made, top, axis, step.maximize) for axis in lines] if _goals(whole) > 1 else []
        about |= {"ranges": [_range(whole, each) for each in found], "notes": _notes(whole, top)}
    return about


def _line(whole: Attempts, trial: Attempt) -> dict[str, Any]:
    figures = {"goal": trial.goal, "over": list(trial.over), "holds": list(trial.holds), "failed": trial.why}
    return {**_point(whole, trial), **figures, "feasible": trial.feasible}


def _range(whole: Attempts, found: WorkingRange) -> dict[str, Any]:
    """A working range as the record keeps it: why it ends on either side."""
    axis = next(a for a in whole.step.space if a.name == found.axis)

    def end(trial: Attempt | None) -> str | None:
        if trial is None:
            return None
        return f"{found.axis} {label(axis, trial.at[found.axis], whole.n_layers)}: {_lacks(whole, trial)}"

    start, stop = (label(axis, value, whole.n_layers) for value in (found.low, found.high))
    numbers = {"low": found.low, "high": found.high, "trials": found.trials}
    ends = {"below": end(found.below), "above": end(found.above)}
    return {"axis": found.axis, "start": start, "stop": stop, **numbers, **ends}


def _lacks(whole: Attempts, trial: Attempt) -> str:
    """What a trial lacks that is beside a working range."""
    if trial.why is not None:
        return trial.why
    broken = [limit.text for limit, holds in zip(whole.step.limits, trial.holds, strict=True) if not holds]
    if broken:
        return f"`{broken[0]}` does not hold"
    return "no figure" if trial.goal is None else f"the goal is {trial.goal:.4g}"


def _nothing(run: Run, whole: Attempts) -> Diagnostic:
    """R931: no trial keeps every limit, with those that come nearest; R932 where none has a score."""
    step, place = whole.step, (Label(run.plan.source, whole.step.span, f"step {whole.planned.number}, tune"),)
    near = nearest(whole.made)
    if not near:
        why = next((trial.why for trial in whole.made if trial.why), "the goal or a limit has no figure")
        help = "take a smaller range, or look at the answers in generations.jsonl"
        return Diagnostic("R932", f"no trial of `{step.name}` has a score", place, (str(why),), help)
    notes = [f"{_said(whole, t)}: the goal is {t.goal:.4g}; {_lacks(whole, t)}" for t in near[:SHOWN]]
    first = near[0]
    worst = max(range(len(step.limits)), key=lambda i: -math.inf if first.holds[i] else first.over[i] or 0.0)
    bound = step.limits[worst].text
    title = f"none of {count(len(whole.made), 'trial')} of `{step.name}` keeps every limit; `{bound}` binds"
    help = f"loosen `{bound}`, or search a range with weaker points; the record has every trial"
    return Diagnostic("R931", title, place, ("nearest to the limits:", *notes), help)
