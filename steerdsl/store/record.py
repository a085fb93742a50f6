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
from steerdsl.lang.recipe import Export
from steerdsl.store.claims import claim, release
from steerdsl.store.files import write_json, write_lines
from steerdsl.store.results import file_sha256

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
    """A run directory in the making. `path` is its final name, `fresh` where it is written, `held` what
    tells others that this process writes there."""

    path: Path
    fresh: Path
    started: float = field(default_factory=time.time)
    held: int | None = None

    @classmethod
    def create(cls, path: Path, force: bool) -> RunDirectory:
        """Begin a run directory. Raises RecipeError R801 when it exists and may not be replaced, R802
        when it cannot be made."""
        if path.exists() and not force:
            title = f"{path} exists already"
            raise RecipeError([Diagnostic("R801", title, help="name another folder with --out, or add --force")], 2)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            held = claim(fresh)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            title = f"{path} cannot be made: {reason}"
            raise RecipeError([Diagnostic("R802", title, help="choose another folder with --out")], 3) from error
        return cls(path, fresh, held=held)

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
        release(self.held)
        if old is not None:
            shutil.rmtree(old)


def write_record(
    directory: RunDirectory,
    plan: Plan,
    *,
    state: State,
    model: Mapping[str, Any],
    results: Any,
    timings: Sequence[Mapping[str, Any]],
    reached: str,
    partial: Sequence[Mapping[str, Any]] = (),
    error: str | None = None,
) -> None:
    """Write record.json, generations.jsonl and scores.json as far as the run got."""
    folder = directory.fresh
    write_lines(folder / "generations.jsonl", [*results.rows, *partial])
    write_json(folder / "scores.json", results.scores, sort_keys=False)
    made = described(plan, model)
    record = {
        **made,
        "schema": SCHEMA,
        "state": state,
        "reached": reached,
        "error": error,
        "recipe": {**made["recipe"], "folder": relative(plan.root, directory.path)},
        "choices": results.choices,
        "planes": results.planes,
        "checks": results.checks,
        "warnings": results.warnings,
        "judge": results.judge,
        "timings": list(timings),
        "started": datetime.fromtimestamp(directory.started, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - directory.started, 3),
        "files": hashes(folder, except_=[s.step.path for s in plan.steps if isinstance(s.step, Export)]),
    }
    write_json(folder / "record.json", record)


def described(plan: Plan, model: Mapping[str, Any]) -> dict[str, Any]:
    """What is run, on what and with which versions: the part of a record that is known beforehand."""
    options, spec = plan.options, plan.recipe.model
    name = plan.source.name
    return {
        "recipe": {
            "name": Path(name).name if Path(name).is_absolute() else name,
            "text": plan.source.text,
            "sha256": hashlib.sha256(plan.source.text.encode()).hexdigest(),
        },
        "inputs": dict(plan.inputs),
        "plan": plan.to_json(),
        "model": dict(model),
        "template": {"system": spec.system, "mode": spec.template},
        "data": {
            name: {
                "source": data.spec.source,
                "sha256": data.sha256,
                "rows": len(data.rows),
                "ids": [row.id for row in data.rows],
                "fields": dict(data.spec.fields),
                "seed": data.spec.seed,
                "held_out": data.spec.held_out,
            }
            for name, data in plan.data.items()
        },
        "run": {
            "on": options.on,
            "device": model.get("device", options.device),
            "dtype": plan.dtype,
            "batch_size": plan.batch_size,
            "seed": options.seed,
            "model": options.model,
            "set": list(options.sets),
            "keep_unsafe": options.keep_unsafe,
            "judge_model": options.judge_model,
        },
        "packages": versions(),
        "machine": machine(model.get("device", "")),
    }


def relative(place: Path, start: Path) -> str:
    """The way from one folder to another, as text that means the same in a copy of both; the place
    itself where there is no such way."""
    try:
        return Path(os.path.relpath(place.resolve(), start.resolve())).as_posix()
    except ValueError:  # another drive
        return place.resolve().as_posix()


def hashes(folder: Path, except_: Sequence[str] = ()) -> dict[str, str]:
    """SHA-256 of each file of a run directory by its path there: not of exports, which the recipe makes
    again, nor of the record and the report, which are written from it."""
    names = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    left_out = ("record.json", "report.html", *except_)
    return {
        name: file_sha256(path)
        for name, path in names.items()
        if not any(name == other or name.startswith(f"{other.rstrip('/')}/") for other in left_out)
    }


def machine(device: str) -> dict[str, str | None]:
    """What the last bits may depend on beside versions: the processor, and the GPU of a device such as
    `cuda:0`."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    gpu = None
    if device.startswith("cuda"):
        import torch

        gpu = torch.cuda.get_device_name(device.partition("+")[0])
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpu": cpu or None,
        "gpu": gpu,
        "python": sys.version.split()[0],
    }


def versions() -> dict[str, str]:
    """The versions of the packages that the numbers depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
