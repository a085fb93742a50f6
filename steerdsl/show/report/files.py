"""What a run directory holds, for its report.

In: the folder. Out: its record, scores and answers as they were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerdsl.store.finished_run import open_run


@dataclass(frozen=True, slots=True)
class RunFiles:
    """One run. `scores` and `rows` are empty where the run did not get so far."""

    folder: Path
    record: Mapping[str, Any]
    scores: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]


def read_run(folder: Path) -> RunFiles:
    """Read a run directory, which may lack scores and answers. Raises RecipeError as `open_run`."""
    run = open_run(folder, whole=False)
    return RunFiles(folder, run.record, run.scores, run.answers)
