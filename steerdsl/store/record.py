"""The run directory: what a run leaves, whole or as far as it got.

In: a plan, results, an end. Out: record.json, generations.jsonl, scores.json, vectors/, plots/ in a
folder that is written under a temporary name and renamed. A run that is killed leaves that folder,
which ends in `.partial`, with every answer that it had.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.store.files import write_json, write_lines

if TYPE_CHECKING:
    from steerdsl.plan.plan import Plan

SCHEMA = 1
PACKAGES = (
    "steerdsl",
    "nnsight",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "lark",
    "numpy",
    "scikit-learn",
    "sacrebleu",
    "rouge-score",
)
State = Literal["complete", "check failed", "failed", "interrupted"]


@dataclass(slots=True)
class RunDirectory:
    """A run directory in the making. `path` is its final name, `fresh` where it is written."""

    path: Path
    fresh: Path
    started: float = field(default_factory=time.time)

    @classmethod
    def create(cls, path: Path, force: bool) -> RunDirectory:
        """Begin a run directory. Raises RecipeError R801 when it exists and may not be replaced, R802
        when it cannot be made."""
        if path.exists() and not force:
            title = f"{path} exists already"
            raise RecipeError([Diagnostic("R801", title, help="name another folder with --out, or add --force")], 2)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            fresh.mkdir(parents=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            title = f"{path} cannot be made: {reason}"
            raise RecipeError([Diagnostic("R802", title, help="choose another folder with --out")], 3) from error
        return cls(path, fresh)

    def keep(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append answers as they are made, so that an interrupted run shows them."""
        with (self.fresh / "generations.jsonl").open("a", encoding="utf-8") as f:
            f.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def finish(self) -> None:
        """Give the folder its final name, in the place of the old one if there is one."""
        old = None
        if self.path.exists():
            old = self.path.with_name(f"{self.path.name}.{os.getpid()}.old")
            self.path.rename(old)
        self.fresh.rename(self.path)
        if old is not None:
            shutil.rmtree(old)


def write_record(
    folder: Path,
    plan: Plan,
    *,
    state: State,
    model: Mapping[str, Any],
    results: Any,
    timings: Sequence[Mapping[str, Any]],
    started: float,
    reached: str,
    partial: Sequence[Mapping[str, Any]] = (),
    error: str | None = None,
) -> None:
    """Write record.json, generations.jsonl and scores.json as far as the run got."""
    record = {
        "schema": SCHEMA,
        "state": state,
        "reached": reached,
        "error": error,
        "recipe": {
            "name": plan.source.name,
            "text": plan.source.text,
            "sha256": hashlib.sha256(plan.source.text.encode()).hexdigest(),
        },
        "plan": plan.to_json(),
        "model": dict(model),
        "template": {"system": plan.recipe.model.system, "mode": plan.recipe.model.template},
        "data": {
            name: {
                "source": data.spec.source,
                "sha256": data.sha256,
                "rows": len(data.rows),
                "fields": dict(data.spec.fields),
                "seed": data.spec.seed,
                "held_out": data.spec.held_out,
            }
            for name, data in plan.data.items()
        },
        "run": {
            "on": plan.options.on,
            "device": model.get("device", plan.options.device),
            "dtype": plan.dtype,
            "batch_size": plan.batch_size,
            "seed": plan.options.seed,
        },
        "choices": results.choices,
        "planes": results.planes,
        "checks": results.checks,
        "warnings": results.warnings,
        "timings": list(timings),
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 3),
        "packages": versions(),
        "machine": {"system": platform.system(), "processor": platform.machine(), "python": sys.version.split()[0]},
    }
    write_json(folder / "record.json", record)
    write_lines(folder / "generations.jsonl", [*results.rows, *partial])
    write_json(folder / "scores.json", results.scores)


def versions() -> dict[str, str]:
    """The versions of the packages that the numbers depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
