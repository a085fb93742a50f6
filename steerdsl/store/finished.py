"""A run directory read back: what `steerdsl show` and `steerdsl diff` start from.

In: a folder. Out: its record, scores and answers, or a diagnostic for a folder that has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.store.files import read_lines
from steerdsl.store.record import SCHEMA

USAGE = 2
# What a record must have to be read; docs/run-directory.md says what each is.
KEYS = frozenset(
    (
        *("state", "reached", "recipe", "inputs", "plan", "model", "template", "data", "run", "choices", "checks"),
        *("warnings", "timings", "started", "seconds", "packages", "machine"),
    )
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that has ended, however it ended. `answers` are the lines of generations.jsonl."""

    folder: Path
    record: Mapping[str, Any]
    scores: Mapping[str, Any]
    answers: Sequence[Mapping[str, Any]]


def open_run(folder: Path) -> Finished:
    """Read a run directory.

    Raises RecipeError with exit code 2: R880 (there is none), R881 (a file is missing or damaged), R882
    (written by another version of steerdsl).
    """
    path = folder / "record.json"
    if not path.is_file():
        raise RecipeError([_absent(folder)], USAGE)
    try:
        record = _mapping(path)
        if record.get("schema") != SCHEMA or not record.keys() >= KEYS:
            raise RecipeError([_foreign(folder, record.get("schema"))], USAGE)
        scores, answers = _mapping(folder / "scores.json"), _lines(folder / "generations.jsonl")
    except (OSError, ValueError, RecursionError) as error:
        reason = f"{Path(error.filename).name} is missing" if isinstance(error, FileNotFoundError) else str(error)
        title = f"the run in {folder} is damaged"
        way_out = "run the recipe again: what the store has is not computed twice"
        raise RecipeError([Diagnostic("R881", title, notes=(f"the reason: {reason}",), help=way_out)], USAGE) from error
    return Finished(folder, record, scores, answers)


def _mapping(path: Path) -> dict[str, Any]:
    """The object of a JSON file. Raises ValueError that names the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} holds no object")
    return found


def _lines(path: Path) -> list[Any]:
    """The objects of a file of JSON lines. Raises ValueError that names the file."""
    try:
        found = read_lines(path)
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON lines: {error}") from error
    if not all(isinstance(line, dict) for line in found):
        raise ValueError(f"{path.name} has a line that is no answer")
    return found


def _absent(folder: Path) -> Diagnostic:
    """There is no run in this folder; a stopped run and a folder of runs are recognised."""
    if not folder.exists():
        return Diagnostic("R880", f"there is no {folder}", help="name a run directory, as `runs/econ-20260301-101500`")
    title = f"{folder} is no run directory: it has no record.json"
    if folder.name.endswith(".partial"):
        return Diagnostic("R880", title, help="its run was stopped; the same command again goes on where it was")
    inner = sorted(folder.glob("*/record.json"))
    if inner:
        return Diagnostic("R880", title, help=f"it holds runs, as {inner[-1].parent}")
    return Diagnostic("R880", title, help="name the folder that `steerdsl run` said its record is in")


def _foreign(folder: Path, schema: Any) -> Diagnostic:
    title = f"the record in {folder} was written by another version of steerdsl"
    note = (
        f"its schema is {schema}, this version reads {SCHEMA}"
        if schema != SCHEMA
        else "it lacks what this version reads"
    )
    return Diagnostic("R882", title, notes=(note,), help="read it with the version that it names under `packages`")
