"""The record of a run: what it was, whole or as far as it got.

In: a plan, results, an end. Out: record.json, generations.jsonl, scores.json and scores.csv in the run's folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from steerdsl.forms.record import SCHEMA, State
from steerdsl.lang.recipe import Export, Recipe, Tune, field_text
from steerdsl.models.quantization import KINDS
from steerdsl.planning.plan import Plan, RunOptions
from steerdsl.store import provenance
from steerdsl.store.directory import RunDirectory, hashes
from steerdsl.store.files import write_json, write_lines, write_text
from steerdsl.store.surroundings import processor

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
)  # of every run; `needed` adds what only some use


def write_record(
    directory: RunDirectory,
    plan: Plan,
    *,
    state: State,
    model: Mapping[str, Any],
    results: Any,
    timings: Sequence[Mapping[str, Any]],
    reached: str,
    reused: Sequence[Mapping[str, Any]] = (),
    partial: Sequence[Mapping[str, Any]] = (),
    error: str | None = None,
    answers: bool = True,
) -> None:
    """Write record.json, generations.jsonl, scores.json and scores.csv as far as the run got. Without `answers`,
    generations.jsonl stays as it was written while they were made."""
    folder = directory.fresh
    if answers:
        write_lines(folder / "generations.jsonl", [*results.rows, *partial])
    for name, made in results.answered.items():
        (folder / "data").mkdir(exist_ok=True)
        write_lines(folder / "data" / f"{name}.jsonl", made["rows"])
    write_json(folder / "scores.json", results.scores.to_json(), sort_keys=False)
    write_text(folder / "scores.csv", results.scores.to_csv())
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
        "searches": results.searches,
        "answers": {name: _without_rows(made) for name, made in results.answered.items()},
        "doses": results.doses,
        "checks": results.checks,
        "failed": results.failed,
        "warnings": [*(warning.title for warning in plan.warnings), *results.warnings],
        "notes": results.notes,
        "judge": results.judge,
        "reused_from": list(reused),
        "timings": list(timings),
        "started": datetime.fromtimestamp(directory.started, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - directory.started, 3),
        "files": hashes(folder, except_=[s.step.path for s in plan.steps if isinstance(s.step, Export)]),
    }
    write_json(folder / "record.json", record)


def _without_rows(made: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made.items() if name != "rows"}


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
        "template": {"system": spec.system, "mode": plan.mode, "thinking": spec.thinking},
        "data": {
            name: {
                "source": data.spec.source,
                "sha256": data.sha256,
                "rows": len(data.rows),
                "ids": [row.id for row in data.rows],
                "fields": {role: field_text(field) for role, field in data.spec.fields.items()},
                "seed": data.spec.seed,
                "held_out": data.spec.held_out,
                **({"chosen": data.spec.chosen} if data.spec.chosen else {}),
                **({"revision": data.spec.revision} if data.spec.revision else {}),
            }
            for name, data in plan.data.items()
        },
        "run": {
            "on": options.on,
            "device": model.get("device", options.device),
            "dtype": plan.dtype,
            "batch_size": plan.rows,
            "seed": options.seed,
            "model": options.model,
            "set": list(options.sets),
            "keep_unsafe": options.keep_unsafe,
            "judge_model": options.judge_model,
        },
        "packages": {**versions(), **needed(plan.recipe)},
        "machine": machine(model.get("device", "")),
    }


def relative(place: Path, start: Path) -> str:
    """The way from one folder to another, as text that means the same in a copy of both; the place
    itself where there is no such way."""
    try:
        return Path(os.path.relpath(place.resolve(), start.resolve())).as_posix()
    except ValueError:  # another drive
        return place.resolve().as_posix()


def maker(options: RunOptions) -> dict[str, str]:
    """What the results are made with that a run computes now."""
    import torch

    from steerdsl.models.device import choose_device

    there = versions()
    made = {name: there[name] for name in provenance.PACKAGES}
    if options.on != "ndif":
        device = str(choose_device(options.device))
        made["device"] = gpu_name(device) or device
        if device == "cpu":
            made["threads"] = str(torch.get_num_threads())
    return {**made, "on": options.on}


def gpu_name(device: str) -> str | None:
    """The GPU of a device such as `cuda:0`; None for other devices."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.get_device_name(device.partition("+")[0])


def machine(device: str) -> dict[str, str | int | None]:
    """What the last bits may depend on besides versions: the processor, the threads that share a sum, and the
    GPU of the device."""
    import torch

    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpu": processor(),
        "threads": torch.get_num_threads(),
        "gpu": gpu_name(device),
        "python": sys.version.split()[0],
    }


def versions() -> dict[str, str]:
    """The versions of the packages that the numbers of every run depend on."""
    return {name: _version(name) for name in PACKAGES}


def needed(recipe: Recipe) -> dict[str, str]:
    """The versions of further packages that the numbers of this recipe depend on: a search, an adapter, weights that
    are quantised on loading."""
    kind = KINDS.get(recipe.model.quantization or "")
    used = {
        "optuna": any(isinstance(step, Tune) for step in recipe.steps),
        "peft": recipe.model.adapter is not None,
        **({kind.package: True} if kind else {}),
    }
    return {name: _version(name) for name in used if used[name]}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
