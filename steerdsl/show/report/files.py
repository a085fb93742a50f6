"""What a run directory holds, for its report.

In: the folder. Out: its record, scores and answers as they were written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerdsl.store.files import read_lines


@dataclass(frozen=True, slots=True)
class RunFiles:
    """One run. `scores` and `rows` are empty where the run did not get so far."""

    folder: Path
    record: Mapping[str, Any]
    scores: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]


def read_run(folder: Path) -> RunFiles:
    """Read a run directory. Raises OSError without a record.json, ValueError when it is none."""
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    if not isinstance(record, dict) or "plan" not in record:
        raise ValueError("record.json is not the record of a run")
    scores, answers = folder / "scores.json", folder / "generations.jsonl"
    return RunFiles(
        folder,
        record,
        json.loads(scores.read_text(encoding="utf-8")) if scores.exists() else {},
        read_lines(answers) if answers.exists() else [],
    )
