"""A run directory read back: what `steerdsl show` and `steerdsl diff` start from.

In: a folder. Out: its record, scores and answers, or a diagnostic for a folder that has none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.forms.form import Maybe
from steerdsl.forms.record import RECORD, SCHEMA, Record, State
from steerdsl.forms.runs import ANSWER, LARGEST_ANSWERS, SCORES
from steerdsl.forms.text import read_json, read_lines, require
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.measure.table import Table, of_json
from steerdsl.store.results import file_sha256

if TYPE_CHECKING:
    from steerdsl.methods.types import Vector

PICTURES = (".png", ".svg")
FINISHED: tuple[State, ...] = ("complete", "check failed", "check not settled")  # of runs that came to their end


@dataclass(frozen=True)
class Finished:
    """A run that has ended, however it ended. `folder` is its run directory, `record` and `scores` what record.json
    and scores.json say (docs/run-directory.md), `answers` are the lines of generations.jsonl."""

    folder: Path
    record: Record
    scores: Table
    answers: Sequence[Mapping[str, Any]]

    @property
    def state(self) -> State:
        """How it ended: `complete`, `check failed`, `check not settled`, `failed` or `interrupted`."""
        return self.record["state"]

    @property
    def checks(self) -> Sequence[Mapping[str, Any]]:
        """What became of each `check`: `holds` is None where the prompts do not settle it."""
        checks: Sequence[Mapping[str, Any]] = self.record["checks"]
        return checks

    @property
    def choices(self) -> Mapping[str, Mapping[str, Any]]:
        """What each `select` chose, by its name: its `chosen` layers, best first, and their figures."""
        choices: Mapping[str, Mapping[str, Any]] = self.record["choices"]
        return choices

    @property
    def plots(self) -> tuple[Path, ...]:
        """The pictures of the run directory."""
        return tuple(self.folder / name for name in sorted(self.record["files"]) if Path(name).suffix in PICTURES)

    @property
    def report(self) -> Path:
        """Where the page is that shows the run in a browser."""
        return self.folder / "report.html"

    def scores_frame(self) -> Any:
        """The lines of scores.csv as a pandas DataFrame; without pandas, a list of dicts."""
        return _frame(self.scores.lines())

    def answers_frame(self) -> Any:
        """The answers as a pandas DataFrame; without pandas, a list of dicts."""
        return _frame(self.answers)

    @cached_property
    def vectors(self) -> Mapping[str, Vector]:
        """The vectors of the run by their names, read from its directory. Loads torch. Raises RecipeError
        R881 for a file that is missing or is not a vector."""
        from steerdsl.store.vector_files import load_vector

        files = sorted(name for name in self.record["files"] if name.startswith("vectors/"))
        self.require_recorded(*files)
        try:
            return {Path(name).stem: load_vector(self.folder / name, Path(name).stem) for name in files}
        except (OSError, ValueError) as error:
            raise RecipeError([_damaged(self.folder, error)], Exit.USAGE) from error

    @property
    def steers(self) -> Mapping[str, tuple[str, ...]]:
        """The operations of each steer by its name, as the recipe has them."""
        steps = [step for step in self.record["plan"]["steps"] if step["verb"] == "steer"]
        return {step["name"]: tuple(text for label, text in step["settings"] if label.isdigit()) for step in steps}

    def require_recorded(self, *names: str) -> None:
        """Hold files of the directory to the hashes that the record has of them; one that is missing is left to who
        reads it. Raises RecipeError R881 for a file that was cut or changed since."""
        for name in names:
            path, wanted = self.folder / name, self.record["files"].get(name)
            if wanted is not None and path.is_file() and file_sha256(path) != wanted:
                changed = ValueError(f"{name} is not the file that the record names: it was changed after the run")
                raise RecipeError([_damaged(self.folder, changed)], Exit.USAGE)

    def __repr__(self) -> str:
        made = f"{len(self.answers)} answers, {len(self.scores.evaluations)} evaluations"
        return f"<run {self.folder}: {self.state}, {made}>"


def open_run(folder: Path, *, whole: bool = True) -> Finished:
    """Read a run directory, every value of the form that docs/run-directory.md says. Links in it that lead
    out of it are not followed. Without `whole`, a run may lack scores and answers.

    Raises RecipeError with exit code 2: R880 (there is none), R881 (a file is missing, damaged or of another
    form), R882 (written by another version of steerdsl).
    """
    path = folder / "record.json"
    if not path.exists():
        raise RecipeError([_absent(folder)], Exit.USAGE)
    try:
        record = read_json(path, {"schema": object}, within=folder)
        lacking = [name for name, form in RECORD.items() if name not in record and not isinstance(form, Maybe)]
        if record["schema"] != SCHEMA or lacking:
            raise RecipeError([_foreign(folder, record["schema"])], Exit.USAGE)
        require(record, RECORD, path.name)
        scores = _read(folder / "scores.json", read_json, SCORES, whole) or {}
        answers = _read(folder / "generations.jsonl", read_answers, ANSWER, whole) or []
    except (OSError, ValueError) as error:
        raise RecipeError([_damaged(folder, error)], Exit.USAGE) from error
    return Finished(folder, record, of_json(scores), answers)


def read_answers(path: Path, form: Any = ANSWER, *, within: Path | None = None) -> list[Any]:
    """The lines of generations.jsonl. Raises OSError and `Misread`."""
    return read_lines(path, form, most=LARGEST_ANSWERS, within=within)


def _frame(lines: Sequence[Mapping[str, Any]]) -> Any:
    """Lines as a table of pandas where it is installed, else as they are."""
    try:
        from pandas import DataFrame
    except ImportError:
        return [dict(line) for line in lines]
    return DataFrame(list(lines))


def _read(path: Path, read: Callable[..., Any], form: Any, whole: bool) -> Any:
    """What a file of the folder says; None for one that is missing and need not be there."""
    if not whole and not os.path.lexists(path):
        return None
    return read(path, form, within=path.parent)


def _damaged(folder: Path, error: Exception) -> Diagnostic:
    reason = str(error)
    if isinstance(error, OSError):
        name = Path(error.filename or folder).name
        missing = isinstance(error, FileNotFoundError)
        reason = f"{name} is missing" if missing else f"{name} cannot be read: {(error.strerror or reason).lower()}"
    way_out = "run the recipe again: what the store has is not computed twice"
    return Diagnostic("R881", f"the run in {folder} is damaged", notes=(f"the reason: {reason}",), help=way_out)


def _absent(folder: Path) -> Diagnostic:
    """There is no run in this folder; a stopped run and a folder of runs are recognised."""
    if not folder.exists():
        help = "name a run directory, such as `runs/econ-20260301-101500`"
        return Diagnostic("R880", f"there is no {folder}", help=help)
    title = f"{folder} is not a run directory: it has no record.json"
    if folder.name.endswith(".partial"):
        return Diagnostic("R880", title, help="its run was stopped; repeat the command to continue it")
    inner = sorted(folder.glob("*/record.json"))
    if inner:
        return Diagnostic("R880", title, help=f"it holds runs, as {inner[-1].parent}")
    return Diagnostic("R880", title, help="name the folder that `steerdsl run` said its record is in")


def _foreign(folder: Path, schema: Any) -> Diagnostic:
    title = f"the record in {folder} was written by another version of steerdsl"
    found = schema if isinstance(schema, int) else "no number"
    note = (
        f"its schema is {found}, this version reads {SCHEMA}"
        if schema != SCHEMA
        else "it does not have what this version reads"
    )
    return Diagnostic("R882", title, notes=(note,), help="read it with the version that it names under `packages`")
