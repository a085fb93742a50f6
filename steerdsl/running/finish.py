"""Complete a run directory: vectors, plots, scores and the record, then its final name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from steerdsl.engine.context import Run
from steerdsl.engine.judge_client import cost_json, unmarked
from steerdsl.forms.record import State
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.methods.types import MethodError
from steerdsl.planning.planner import without_store
from steerdsl.running.record import write_record
from steerdsl.show.report import write_report
from steerdsl.store.directory import RunDirectory
from steerdsl.store.vector_files import save_vector


def finish(
    run: Run,
    directory: RunDirectory,
    state: State,
    stopped_at: str,
    timings: Sequence[dict[str, Any]],
    error: str | None,
) -> None:
    """Write what there is, whole or partial, and rename the directory. The report, which is made from
    what was written, comes last: nothing is lost for it. A file that cannot be written is a warning.

    Raises RecipeError R815 when the record itself cannot be written; the answers so far then stay where
    they were written as they were made.
    """
    directory.make_room()
    _vectors(run, directory.fresh / "vectors")
    _draw(run, directory.fresh / "plots")
    planes = {**run.values.made, **run.values.planes}
    run.results.planes = {name: {"explained": p.explained, **p.meta} for name, p in planes.items()}
    if "judge" in run.__dict__:
        run.results.judge = cost_json(run.judge)
        run.results.warnings += unmarked(run.judge)
    if "marks" in run.__dict__:
        run.results.judge = {**(run.results.judge or {}), **run.marks.to_json()}
        run.results.warnings += run.marks.warnings()
    makers = run.store.makers
    if makers is not None and (warning := makers.warning()):
        run.results.warnings.append(warning)

    def write(answers: bool) -> None:
        write_record(
            directory,
            without_store(run.planned),
            state=state,
            model=_model(run),
            results=run.results,
            timings=timings,
            reached=stopped_at or "the end",
            reused=() if makers is None else makers.reused,
            partial=[line for lines in run.partial.values() for line in lines],
            error=error,
            answers=answers,
        )

    try:
        _with_less(run, directory, write)
        directory.finish()
    except OSError as refused:
        left = f"there is no record: the results so far are in the store and in {directory.fresh}"
        raise RecipeError([unwritten(refused, left)], Exit.FAILED) from refused
    try:
        write_report(directory.path)
    except OSError as refused:
        run.results.warnings.append(f"report.html could not be written: {_reason(refused)}")


def unwritten(error: OSError, note: str) -> Diagnostic:
    """The message for a run directory that cannot be written."""
    title = f"the run directory cannot be written: {_reason(error)}"
    return Diagnostic("R815", title, (), (note,), "free some space, or name another folder with --out, and run again")


def _with_less(run: Run, directory: RunDirectory, write: Callable[[bool], None]) -> None:
    """Write the record; on a full disk once more without vectors and pictures, which the store and the
    recipe give again, and with the answers as they were written while they were made."""
    try:
        write(True)
    except OSError as error:
        for name in ("vectors", "plots"):
            shutil.rmtree(directory.fresh / name, ignore_errors=True)
        run.results.warnings.append(f"vectors and plots were left out of the run directory: {_reason(error)}")
        (directory.fresh / "generations.jsonl").touch()
        write(False)


def _vectors(run: Run, folder: Path) -> None:
    """Save the vectors. One that cannot be saved is a warning, and none is left half written."""
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    for name, vector in run.values.vectors.items():
        path = folder / f"{name}.safetensors"
        try:
            save_vector(vector, path)
        except (OSError, SafetensorError) as error:
            path.unlink(missing_ok=True)
            run.results.warnings.append(f"vector {name} was not saved: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "there is too little memory"
    if isinstance(error, OSError | SafetensorError):
        return (getattr(error, "strerror", None) or str(error)).lower()
    return f"this is a bug in steerdsl: {type(error).__name__}" + (f": {error}" if str(error) else "")


def _draw(run: Run, folder: Path) -> None:
    """Draw the plots whose steps were reached. One that cannot be drawn is a warning: what was
    computed is not lost for a picture."""
    from steerdsl.show.drawing import default_name, draw

    with suppress(OSError):
        folder.mkdir(exist_ok=True)

    taken = [Path(step.path).stem for step, _ in run.results.views if step.path]
    for step, view in run.results.views:
        name = default_name(step, taken)
        taken.append(name)
        names = (step.path,) if step.path else (f"plots/{name}.png", f"plots/{name}.svg")
        try:
            draw(step.what, view, step.options, *(run.out / path for path in names))
        except MethodError as error:
            run.results.warnings.append(f"plot {step.what}: {error.problem}; {error.way_out}")
        except Exception as error:  # any failure: the record is worth more than a picture
            for path in names:
                (run.out / path).unlink(missing_ok=True)
            run.results.warnings.append(f"plot {step.what} was not drawn: {_reason(error)}")


def _model(run: Run) -> dict[str, Any]:
    """What the record says of the model: the same whether it was opened or every result came from the
    store."""
    from steerdsl.models.device import choose_device
    from steerdsl.models.opened import model_info

    if run.opened:
        return asdict(run.session.opened.info)
    facts, device = run.plan.model, choose_device(run.plan.options.device)
    return asdict(model_info(facts, run.plan.dtype, str(device)))
