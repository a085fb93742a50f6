"""The steps that leave something behind: plots and exports.

In: planned `plot` and `export` steps. Out: views for the plots, drawn when the run has ended, and
exported files in the run directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steerdsl.engine.context import Run
from steerdsl.engine.extraction import capture_class
from steerdsl.engine.views import ChoiceView, PlaneView, ScoreView, VectorView
from steerdsl.lang import recipe as r
from steerdsl.plan.plan import PlanStep
from steerdsl.registry import find
from steerdsl.store.vectors import save_plane, save_vector


def plot(run: Run, planned: PlanStep) -> None:
    """Gather what a plot is drawn from."""
    step = planned.step
    assert isinstance(step, r.Plot)
    run.results.views.append((step, _view(run, step)))


def _view(run: Run, step: r.Plot) -> Any:
    if step.what == "scores":
        return _scores(run, step)
    entry = find("plot", step.what)
    match entry.args[0].type:
        case "plane":
            return PlaneView(step.target, run.values.planes[step.target])
        case "layers":
            return ChoiceView(step.target, run.results.choices[step.target])
    vector = run.values.vectors[step.target]
    source = run.extractions.get(step.target)
    if source is None or not isinstance(source.step, r.Extract) or source.step.positive is None:
        return VectorView(step.target, vector)
    layers = [int(x) for x in vector.layers]
    rows = "rows" in entry.needs
    refs = (source.step.positive, source.step.negative)
    positive, negative = (capture_class(run, source.step, ref, layers, rows) for ref in refs)
    labels = tuple(str(vector.meta[side]) for side in ("positive", "negative"))
    return VectorView(step.target, vector, positive, negative, (labels[0], labels[1]))


def _scores(run: Run, step: r.Plot) -> ScoreView:
    name, metric, *datasets = step.target.split(".")
    entry = run.results.scores[name]
    values = _axis_values(run.plan.steps)
    points: list[tuple[Mapping[str, str], Mapping[str, float], Mapping[str, Any]]] = []
    for point in entry.get("points", [{"at": {}, "scores": entry}]):
        at = point["at"]
        points.append((at, {axis: values[axis, label] for axis, label in at.items()}, point["scores"][metric]))
    return ScoreView(name, metric, points, step.over or tuple(points[0][0]), step.polar, tuple(datasets))


def _axis_values(steps: tuple[PlanStep, ...]) -> dict[tuple[str, str], float]:
    """The number behind each label of each sweep's axes."""
    found: dict[tuple[str, str], float] = {}
    for planned in steps:
        if isinstance(planned.step, r.Sweep):
            for point in planned.step.points:
                found |= {(axis, label): point.values[axis] for axis, label in point.labels.items()}
    return found


def export(run: Run, planned: PlanStep) -> None:
    """Write a vector, a plane or a checkpoint into the run directory, under the path given."""
    step = planned.step
    assert isinstance(step, r.Export)
    path = run.out / step.path
    path.parent.mkdir(parents=True, exist_ok=True)
    match step.kind:
        case "vector":
            save_vector(run.values.vectors[step.what], path)
        case "plane":
            save_plane(run.values.planes[step.what], path)
        case "steer":
            _checkpoint(run, step.what, path)
    run.results.files.append(Path(step.path))


def _checkpoint(run: Run, steer: str, folder: Path) -> None:
    """A transformers checkpoint whose weights do what the steer does to activations."""
    from steerdsl.engine.checkpoint import export_checkpoint

    said = export_checkpoint(run.session.opened, run.steers[steer].ops, run.values, folder)
    run.results.warnings += [f"export {steer}: {line}" for line in said]
