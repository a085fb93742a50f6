"""What goes into a pack: the files of a recipe, its lock, and those of a run.

In: a plan on this machine and a finished run of it. Out: members by name, in which no path of this
machine is left.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.forms.files import is_inside
from steerdsl.forms.record import Record
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.share.members import unsafe_name, wrong_kind
from steerdsl.share.pack import LARGEST

if TYPE_CHECKING:
    from steerdsl.planning.plan import Plan


def gather(recipe: Path, lock: str, plan: Plan, run: Path, record: Record) -> dict[str, bytes]:
    """The members of a pack by name. Exports are left out: the recipe makes them again.

    Raises RecipeError R865 for what a pack does not carry: files outside the recipe's folder, and
    kinds of file that can run when they are opened.
    """
    members = {f"recipe/{recipe.name}": recipe.read_bytes(), f"recipe/{recipe.name}.lock": lock.encode()}
    for name in plan.inputs:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise _refusal(f"{name} is outside the recipe's folder", "copy it into the folder, and name it there")
        members[f"recipe/{name}"] = _as_hashed(plan.root, name, plan.inputs[name])
    for name, digest in record["files"].items():
        if problem := unsafe_name(name):
            raise _refusal(f"{name}: {problem}", "run the recipe again")
        members[f"run/{name}"] = _as_hashed(run, name, digest)
    if is_inside(run / "report.html", run):
        members["run/report.html"] = (run / "report.html").read_bytes()
    members["run/record.json"] = _without_places(record)
    for name, data in members.items():
        if problem := unsafe_name(name) or wrong_kind(name, data):
            raise _refusal(
                f"{name.partition('/')[2]}: {problem}", "rename it, or save it as text, jsonl or safetensors"
            )
    if (size := sum(map(len, members.values()))) > LARGEST:
        raise _refusal(f"its files have {size} bytes, and a pack has at most {LARGEST}", "leave large files out")
    return dict(sorted(members.items()))


def _as_hashed(folder: Path, name: str, digest: str) -> bytes:
    """A file's bytes, if they are those that were hashed."""
    data = (folder / name).read_bytes() if is_inside(folder / name, folder) else b""
    if hashlib.sha256(data).hexdigest() != digest:
        raise _refusal(f"{folder / name} was changed or removed since it was recorded", "run the recipe again")
    return data


def _without_places(record: Record) -> bytes:
    """The record with the place of the recipe in the pack, and without that of the model's files."""
    moved = {
        **record,
        "model": {**record["model"], "path": None},
        "recipe": {**record["recipe"], "folder": "../recipe"},
    }
    return (json.dumps(moved, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _refusal(problem: str, help: str) -> RecipeError:
    return RecipeError([Diagnostic("R865", f"this cannot be packed: {problem}", help=help)])
