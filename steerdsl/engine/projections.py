"""The `read` step: where prompts lie along a direction.

In: a planned `read` and the run. Out: rows of the table of figures, kept in the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from steerdsl.engine import evaluation
from steerdsl.engine.context import Run
from steerdsl.engine.extraction import capture_class
from steerdsl.lang import recipe as r
from steerdsl.lang.grammar import SIDES
from steerdsl.measure.scores import unmade
from steerdsl.measure.separation import one_class, two_classes
from steerdsl.measure.table import Row, Table, nested
from steerdsl.methods.layers import row
from steerdsl.methods.types import MethodError, Vector
from steerdsl.planning.classes import every_step, extraction
from steerdsl.planning.layers import resolve_layers
from steerdsl.planning.plan import PlanStep
from steerdsl.store.files import write_json


def read_step(run: Run, planned: PlanStep) -> None:
    """The figures of every data set of a reading, made or taken from the store."""
    step = planned.step
    assert isinstance(step, r.Read) and planned.key is not None
    table = run.store.load(planned.key, lambda folder: evaluation.read_table(folder, step.vector.name))
    if table is None:
        table = Table(line for ref in step.data for line in _figures(run, step, ref))
        made, about = nested(table), {"kind": "scores", "data": ", ".join(ref.name for ref in step.data)}
        run.store.put(planned.key, about, lambda fresh: write_json(fresh / "scores.json", made, sort_keys=False))
    run.results.warnings += [line for line in unmade(table) if line not in run.results.warnings]
    evaluation.file_table(run, step.name, table)


def _figures(run: Run, step: r.Read, ref: r.DataRef) -> list[Row]:
    vector, assigned = run.values.vectors[step.vector.name], step.vector.layers
    assert assigned is not None
    layer = resolve_layers(assigned, run.plan.model.arch.n_layers, run.values.chosen)[0]
    if ref.side is None and run.plan.data[ref.name].spec.two_sided:
        positive, negative = (_coordinates(run, step, replace(ref, side=side), vector, layer) for side in SIDES)
        return two_classes(ref.name, step.vector.name, positive, negative, _threshold(vector, layer))
    return one_class(ref.name, step.vector.name, _coordinates(run, step, ref, vector, layer))


def _coordinates(run: Run, step: r.Read, ref: r.DataRef, vector: Vector, layer: int) -> Sequence[float]:
    """Each prompt's coordinate along the unit direction, in the order of the rows."""
    source = extraction(every_step(run.plan.steps), step.vector.name)
    position = step.position or (source.position if source else r.Position("last_token"))
    stream = source.stream if source else r.Stream(vector.stream)
    asked = r.Extract(step.name, "diffmean", ref, ref, position, stream)
    rows = capture_class(run, asked, ref, [layer], rows=True).rows
    assert rows is not None
    unit = vector.directions.unit[row(vector, layer)].double()
    if len(unit) != 1:
        title = f"`{vector.name}` has {len(unit)} directions at layer {layer}, and a reading is along one"
        raise MethodError(title, "extract one direction, as `diffmean` does")
    found: list[float] = (rows[:, 0].double() @ unit[0]).tolist()
    return found


def _threshold(vector: Vector, layer: int) -> float | None:
    """Half way between the class means that the vector was fitted on, along its unit direction."""
    if vector.mean_positive is None or vector.mean_negative is None:
        return None
    place = row(vector, layer)
    middle = (vector.mean_positive[place].double() + vector.mean_negative[place].double()) / 2
    return float(middle @ vector.directions.unit[place][0].double())
