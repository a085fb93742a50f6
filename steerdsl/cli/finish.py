"""Complete a run directory: vectors, plots, scores and the record, then its final name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from steerdsl.engine.context import Run
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.methods.types import MethodError
from steerdsl.store.record import RunDirectory, State, write_record
from steerdsl.store.vectors import save_vector


def finish(
    run: Run,
    directory: RunDirectory,
    state: State,
    stopped_at: str,
    timings: Sequence[dict[str, Any]],
    error: RecipeError | None,
) -> None:
    """Write what there is, whole or partial, and rename the directory."""
    folder = directory.fresh
    (folder / "vectors").mkdir(exist_ok=True)
    (folder / "plots").mkdir(exist_ok=True)
    for name, vector in run.values.vectors.items():
        save_vector(vector, folder / "vectors" / f"{name}.safetensors")
    _draw(run)
    planes = {**run.values.made, **run.values.planes}
    run.results.planes = {name: {"explained": p.explained, **p.meta} for name, p in planes.items()}
    write_record(
        folder,
        run.plan,
        state=state,
        model=_model(run),
        results=run.results,
        timings=timings,
        started=directory.started,
        reached=stopped_at or "the end",
        partial=run.partial,
        error=None if error is None else str(error),
    )
    directory.finish()


def _draw(run: Run) -> None:
    """Draw the plots whose steps were reached. One that cannot be drawn is a warning: what was
    computed is not lost for a picture."""
    from steerdsl.show.drawing import default_name, draw

    taken: list[str] = []
    for step, view in run.results.views:
        name = default_name(step, taken)
        taken.append(name)
        path = run.out / (step.path or f"plots/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draw(step.what, view, step.options, path)
        except MethodError as error:
            run.results.warnings.append(f"plot {step.what}: {error.problem}; {error.way_out}")


def _model(run: Run) -> dict[str, Any]:
    """What the record says of the model; sizes and hashes as they were when it was opened, or as its
    files say when every result came from the store."""
    if "session" in run.__dict__:
        return asdict(run.session.opened.info)
    facts, located = run.plan.model, run.plan.model.located
    return {
        "id": located.id,
        "path": str(located.path),
        "revision": located.revision,
        "source": located.source,
        "weights_sha256": located.weights_sha256,
        "dtype": run.plan.dtype,
        "family": facts.arch.family,
        "n_layers": facts.arch.n_layers,
        "d_model": facts.arch.d_model,
        "tokenizer_sha256": facts.tokenizer_sha256,
        "template_sha256": facts.template_sha256,
    }
