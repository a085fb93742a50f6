"""What a plot is drawn from, gathered when its step is reached.

In: a run and a `plot` step. Out: the view that the plot's entry draws.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from steerdsl.engine.context import Run
from steerdsl.engine.extraction import capture_class
from steerdsl.engine.plot_data import ChoiceView, PlaneView, ScoreView, SearchView, Turning, VectorView
from steerdsl.lang import recipe as r
from steerdsl.planning import formatting
from steerdsl.planning.classes import every_step, origin
from steerdsl.planning.plan import PlanStep
from steerdsl.registry import find


def view(run: Run, step: r.Plot) -> Any:
    """The view of what a plot names."""
    match find("plot", step.what).args[0].type:
        case "score":
            return _scores(run, step)
        case "plane":
            return PlaneView(step.target, run.values.planes[step.target], _about(run, _origin(run, step.target)))
        case "layers":
            return _choice(run, step.target)
        case "search":
            return SearchView(step.target, run.results.searches[step.target], _model(run))
    first, *others = (_vector(run, step, name) for name in (step.target, *step.others))
    return replace(first, others=tuple(others))


def _vector(run: Run, step: r.Plot, name: str) -> VectorView:
    vector = run.values.vectors[name]
    source = run.extractions.get(name)
    about = _about(run, name)
    if source is None or not isinstance(source.step, r.Extract) or source.step.positive is None:
        return VectorView(name, vector, about=about)
    layers = [int(x) for x in vector.layers]
    rows = "rows" in find("plot", step.what).needs
    refs = (source.step.positive, source.step.negative)
    positive, negative = (capture_class(run, source.step, ref, layers, rows) for ref in refs)
    labels = (str(vector.meta["positive"]), str(vector.meta["negative"]))
    return VectorView(name, vector, positive, negative, labels, about)


def _choice(run: Run, name: str) -> ChoiceView:
    """The choice with its criterion's options."""
    choice = run.results.choices[name]
    given = next((s.options for s in every_step(run.plan.steps) if isinstance(s, r.Select) and s.name == name), {})
    defaults = {arg.name: arg.default for arg in find("select", choice["criterion"]).args}
    n_layers = run.plan.model.arch.n_layers
    return ChoiceView(name, choice, {**defaults, **given}, n_layers, _about(run, choice["vector"]))


def _origin(run: Run, plane: str) -> str:
    """The vector whose directions are a plane's candidates."""
    bound = next(s for s in every_step(run.plan.steps) if isinstance(s, r.Bind) and s.name == plane)
    assert isinstance(bound.value, r.PlaneExpr)
    return origin(bound.value.first)


def _model(run: Run) -> str:
    """The model by the last part of its id."""
    return Path(run.plan.model.located.id).name


def _about(run: Run, vector: str) -> str:
    """`SmolLM2-135M-Instruct; econ.train (60 prompts) against generic.train (60 prompts)`."""
    source = run.extractions.get(vector)
    if source is None or not isinstance(source.step, r.Extract) or source.step.positive is None:
        return _model(run)
    refs = zip((source.step.positive, source.step.negative), run.values.vectors[vector].meta["n"], strict=True)
    sides = [f"{formatting.data(ref)} ({formatting.count(n, 'prompt')})" for ref, n in refs if ref is not None]
    return f"{_model(run)}; {' against '.join(sides)}"


def _scores(run: Run, step: r.Plot) -> ScoreView:
    name, metric, *datasets = step.target.split(".")
    values = _axis_values(run.plan.steps)
    rows = run.results.scores.evaluations[name].select(metric=metric)
    over = step.over or tuple(rows[0].at)
    every = [s for s in every_step(run.plan.steps) if isinstance(s, r.Evaluate) and s.name == name]
    shown = [ref.called or formatting.data(ref) for ref in every[0].data if not datasets or ref.label in datasets]
    steers = {step.steer for step in every}  # an axis over steers has another one at each point
    steer = next(s for s in every_step(run.plan.steps) if isinstance(s, r.Steer) and s.name in steers)
    said = [_valued(run, op.text) for op in steer.ops if op.text and len(steers) == 1]
    about = "; ".join((_model(run), ", ".join(shown), *said))
    return ScoreView(name, metric, rows, values, over, step.polar, tuple(datasets), about, _turning(run, name))


def _valued(run: Run, text: str) -> str:
    """An operation as written, with the values of params and the numbers of chosen layers in the places of
    their names: `add topic by 2 at layers 14`. Axes of a sweep, which have many values, keep their names."""
    known: dict[str, str] = dict(run.plan.recipe.params)
    for step in (planned.step for planned in run.plan.steps):
        if isinstance(step, r.Select) and step.name in run.values.chosen:
            known[step.name] = ",".join(map(str, run.values.chosen[step.name]))
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    names = re.compile(r"(?<![\w.])([^\W\d]\w*)(?![\w.(:])")
    return "".join(part if i % 2 else names.sub(lambda m: known.get(m[0], m[0]), part) for i, part in enumerate(parts))


def _axis_values(steps: Sequence[PlanStep]) -> dict[tuple[str, str], float]:
    """The number behind each label of each sweep's axes; words have none."""
    found: dict[tuple[str, str], float] = {}
    for planned in steps:
        if isinstance(planned.step, r.Sweep):
            for point in planned.step.points:
                found |= {(axis, point.labels[axis]): number for axis, number in point.values.items()}
    return found


def _turning(run: Run, evaluation: str) -> Turning | None:
    """The one rotation of the sweep that holds an evaluation; None if there is none, or several."""
    for planned in run.plan.steps:
        if not isinstance(planned.step, r.Sweep):
            continue
        points = [point.steps for point in planned.step.points]
        asked = next((s for s in points[0] if isinstance(s, r.Evaluate) and s.name == evaluation), None)
        if asked is None:
            continue
        steers = [s for steps in points for s in steps if isinstance(s, r.Steer) and s.name == asked.steer]
        ops = [[op for op in steer.ops if find("op", op.name).operand == "plane"] for steer in steers]
        if not ops or any(len(own) != 1 for own in ops):
            return None
        (op,) = ops[0]
        if not isinstance(op.operand, r.PlaneExpr | r.PlaneRef):
            return None
        name = op.operand.name if isinstance(op.operand, r.PlaneRef) else formatting.plane(op.operand)
        made = run.values.planes.get(name) or run.values.made.get(name)
        steady = all(own[0].operand == op.operand for own in ops) and _steady(points)
        short = "plane" if isinstance(op.operand, r.PlaneExpr) else name
        return Turning(short, op.args.get("to") is not None, made if steady else None)
    return None


def _steady(points: Sequence[Sequence[r.Step]]) -> bool:
    """Whether all points make the same vectors, choices and planes."""
    made = [[s for s in steps if isinstance(s, r.Extract | r.Bind | r.Select | r.Load)] for steps in points]
    return all(steps == made[0] for steps in made)
