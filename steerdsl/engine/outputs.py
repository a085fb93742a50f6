"""The steps that leave something behind: plots and exports.

In: planned `plot` and `export` steps. Out: views for the plots, drawn when the run has ended, and
exported files in the run directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from steerdsl.engine.context import Run
from steerdsl.engine.plot_capture import view
from steerdsl.engine.steer_compiler import Compiler
from steerdsl.engine.values import Values
from steerdsl.formats import steady, table
from steerdsl.formats.types import Act, Carried
from steerdsl.lang import recipe as r
from steerdsl.models.sites import Architecture
from steerdsl.planning.layers import resolve_layers
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.targets import targets


def plot(run: Run, planned: PlanStep) -> None:
    """Gather what a plot is drawn from."""
    step = planned.step
    assert isinstance(step, r.Plot)
    options = {name: _numbers(run, value) for name, value in step.options.items()}
    run.results.views.append((replace(step, options=options), view(run, step)))


def _numbers(run: Run, value: Any) -> Any:
    """An option's value; layers as their numbers, now that they are chosen."""
    if not isinstance(value, r.Layers):
        return value
    return resolve_layers(value, run.plan.model.arch.n_layers, run.values.chosen)


def export(run: Run, planned: PlanStep) -> None:
    """Write a vector, a plane or a steer into the run directory, under the path given."""
    step = planned.step
    assert isinstance(step, r.Export)
    path = run.out / step.path
    path.parent.mkdir(parents=True, exist_ok=True)
    match step.kind:
        case "steer":
            _steer(run, step, path)
        case "vector":
            form = table.of(step.path, "write_vector")
            assert form and form.write_vector
            form.write_vector(run.values.vectors[step.what], run.plan.model.arch, path)
        case "plane":
            form = table.of(step.path, "write_plane")
            assert form and form.write_plane
            form.write_plane(run.values.planes[step.what], path)
    run.results.files.append(Path(step.path))


def _steer(run: Run, step: r.Export, path: Path) -> None:
    """A steer as a file of another tool, or as the folder of a checkpoint."""
    form = table.of(step.path, "write_steer")
    if form is None:
        _checkpoint(run, step.what, path)
        return
    ops = run.steers[step.what].ops
    steady.require(ops, form)
    assert form.write_steer
    located, arch = run.plan.model.located, run.plan.model.arch
    model = run.session.opened.model if form.needs_model else None
    carried = Carried(_acts(ops, arch, run.values), arch, located.id, model, located.revision)
    if model is None:
        form.write_steer(carried, path)
        return
    from steerdsl.engine.checkpoint import export_adapter

    write = form.write_steer
    said = export_adapter(run.session.opened, ops, run.values, lambda folder: write(carried, folder), path)
    run.results.notes.append(f"export {step.what}: {said}")


def _acts(ops: Sequence[r.Op], arch: Architecture, values: Values) -> list[Act]:
    """Each operation at each target where it acts."""
    compiler = Compiler(ops, arch, values)
    found = []
    for op in ops:
        value = values.operand(op)
        for target in targets(op, arch, values.chosen):
            found.append(Act(op, target.stream, target.layer, compiler.operand(op, value, target)))
    return found


def _checkpoint(run: Run, steer: str, folder: Path) -> None:
    """A transformers checkpoint whose weights do what the steer does to activations."""
    from steerdsl.engine.checkpoint import export_checkpoint

    said = export_checkpoint(run.session.opened, run.steers[steer].ops, run.values, folder)
    run.results.notes += [f"export {steer}: {line}" for line in said]
