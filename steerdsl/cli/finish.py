"""Complete a run directory: vectors, plots, scores and the record, then its final name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steerdsl.engine.context import Run
from steerdsl.engine.judge import cost_json
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.methods.types import MethodError
from steerdsl.plan.planner import without_store
from steerdsl.show.report import write_report
from steerdsl.store.directory import RunDirectory
from steerdsl.store.record import State, write_record
from steerdsl.store.vectors import save_vector


def finish(
    run: Run,
    directory: RunDirectory,
    state: State,
    stopped_at: str,
    timings: Sequence[dict[str, Any]],
    error: RecipeError | None,
) -> None:
    """Write what there is, whole or partial, and rename the directory. The report, which is made from
    what was written, comes last: nothing is lost for it."""
    folder = directory.fresh
    (folder / "vectors").mkdir(exist_ok=True)
    (folder / "plots").mkdir(exist_ok=True)
    for name, vector in run.values.vectors.items():
        save_vector(vector, folder / "vectors" / f"{name}.safetensors")
    _draw(run)
    planes = {**run.values.made, **run.values.planes}
    run.results.planes = {name: {"explained": p.explained, **p.meta} for name, p in planes.items()}
    if "judge" in run.__dict__:
        run.results.judge = cost_json(run.judge)
    makers = run.store.makers
    if makers is not None and (warning := makers.warning()):
        run.results.warnings.append(warning)
    write_record(
        directory,
        without_store(run.plan),
        state=state,
        model=_model(run),
        results=run.results,
        timings=timings,
        reached=stopped_at or "the end",
        reused=() if makers is None else makers.reused,
        partial=[line for lines in run.partial.values() for line in lines],
        error=None if error is None else str(error),
    )
    directory.finish()
    write_report(directory.path)


def _draw(run: Run) -> None:
    """Draw the plots whose steps were reached. One that cannot be drawn is a warning: what was
    computed is not lost for a picture."""
    from steerdsl.show.drawing import default_name, draw

    taken = [Path(step.path).stem for step, _ in run.results.views if step.path]
    for step, view in run.results.views:
        name = default_name(step, taken)
        taken.append(name)
        names = (step.path,) if step.path else (f"plots/{name}.png", f"plots/{name}.svg")
        try:
            draw(step.what, view, step.options, *(run.out / path for path in names))
        except MethodError as error:
            run.results.warnings.append(f"plot {step.what}: {error.problem}; {error.way_out}")


def _model(run: Run) -> dict[str, Any]:
    """What the record says of the model: the same whether it was opened or every result came from the
    store."""
    from steerdsl.models.device import choose_device
    from steerdsl.models.opened import model_info

    if run.opened:
        return asdict(run.session.opened.info)
    facts, device = run.plan.model, choose_device(run.plan.options.device)
    return asdict(model_info(facts, run.plan.dtype, str(device)))
