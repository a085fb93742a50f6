"""A record as a receipt: two runs of one plan compared, field by field.

In: run directories and their records. Out: `Item`s: what is equal, what is within tolerance, what differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from steerdsl.forms.files import Misread
from steerdsl.forms.record import Record
from steerdsl.forms.runs import exports
from steerdsl.forms.text import parse_json
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.measure.table import said
from steerdsl.share.pins import Pin, PinDifference
from steerdsl.store.directory import hashes
from steerdsl.store.finished_run import FINISHED, open_run
from steerdsl.store.pairs import Read, leaves, named, pairs, vectors

if TYPE_CHECKING:
    from steerdsl.data import Data

Status = Literal["equal", "tolerated", "different"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far apart two machines may be that computed in one dtype. figures: a share of the larger one;
    figures that are both below it are near 0 and count as one. rows: the length of the difference of two
    rows of a vector's file as a share of the longer one, for directions the square root of 2 - 2 cosine."""

    figures: float
    rows: float


# Rows: a cosine of 1 - 5e-7, and of 0.999.
TOLERANCE: Mapping[str, Tolerance] = {
    "float32": Tolerance(1e-4, 1e-3),
    "float16": Tolerance(5e-3, 0.045),
    "bfloat16": Tolerance(2e-2, 0.045),
}
NONE = Tolerance(0.0, 0.0)
SMALLEST = 1e-4  # a figure that is a difference of two has their rounding, however small it is itself
_LINE = ("step", "variant", "draw", "dataset", "row", "sample")


@dataclass(frozen=True, slots=True)
class Item:
    """One field: `before` as recorded, `now` as found; both as they are to be shown."""

    section: str
    name: str
    status: Status
    before: Any = None
    now: Any = None


def read_record(folder: Path) -> Record:
    """The record of a run that came to its end. Raises RecipeError as `open_run`, and R863 for a run that
    was stopped or failed."""
    record = open_run(folder).record
    if record["state"] not in FINISHED or "files" not in record:
        title = f"the run in {folder} is not whole: {record['state']} at {record['reached']}"
        raise RecipeError([Diagnostic("R863", title, help="run it again, to its end")], Exit.USAGE)
    return record


def compare_files(folder: Path, record: Record) -> Iterator[Item]:
    """The bytes of a run directory against the hashes in its record. Exports are not looked at."""
    for name, recorded, found in sorted(pairs(record["files"], hashes(folder, exports(record))), key=itemgetter(0)):
        yield Item("files", name, "equal" if recorded == found else "different", recorded, found)


def compare_pins(
    before: Mapping[str, Pin], now: Mapping[str, Pin], found: Sequence[PinDifference], allow_versions: bool
) -> Iterator[Item]:
    """What goes in. With `allow_versions`, other versions of packages are tolerated."""
    differing = {d.name: d for d in found}
    for name, _, _ in sorted(pairs(before, now), key=itemgetter(0)):
        d = differing.get(name)
        if d is None:
            # A key that differs is not named where a pin explains it.
            yield Item("what goes in", name, "equal")
            continue
        allowed = d.severity == "nothing" or (allow_versions and name.startswith("packages."))
        yield Item("what goes in", name, "tolerated" if allowed else "different", d.before, d.now)


def compare_rows(record: Record, data: Mapping[str, Data]) -> Iterator[Item]:
    """The rows of each data set by the hash of their text, so that the one that changed is named."""
    for name, facts in record["data"].items():
        rows, ids = data[name].rows if name in data else (), facts["ids"]
        # Prompts that are not to be printed are named by their hash.
        shown = {row.id: row.id if data[name].spec.unsafe else row.text for row in rows}
        changed: list[tuple[int, str | None, str | None]]
        if len(rows) == len(ids):
            changed = [(row.index, old, shown[row.id]) for old, row in zip(ids, rows, strict=True) if row.id != old]
        else:
            known = set(ids)
            changed = [(row.index, None, shown[row.id]) for row in rows if row.id not in known]
            changed += [(i, old, None) for i, old in enumerate(ids) if old not in shown]
        yield from (Item("what goes in", f"row {i} of data {name}", "different", old, new) for i, old, new in changed)


def compare_results(before: Path, now: Path, dtype: str) -> Iterator[Item]:
    """What came out of two runs: the end, choices, planes, claims, vectors, answers and scores."""
    tolerance = TOLERANCE.get(dtype, NONE)
    old, new = (open_run(folder) for folder in (before, now))
    for section in ("state", "choices", "planes", "checks"):
        yield from walk(section, "", old.record.get(section), new.record.get(section), tolerance.figures)
    yield from compare_vectors(before, now, tolerance)
    yield from compare_answers(old.answers, new.answers)
    yield from walk("scores", "", old.scores.to_json(), new.scores.to_json(), tolerance.figures)


def walk(section: str, name: str, before: Any, now: Any, tolerance: float) -> Iterator[Item]:
    """Two values of JSON, leaf by leaf: numbers with a point are within a tolerance or not, all else is
    equal or is not."""
    for path, a, b in leaves(before, now, name):
        yield Item(section, path, _same(a, b, tolerance), a, b)


def _same(before: Any, now: Any, tolerance: float) -> Status:
    if before == now:
        return "equal"
    if not isinstance(before, float) or not isinstance(now, float):
        return "different"
    near_zero = abs(before) <= tolerance and abs(now) <= tolerance
    near = math.isclose(before, now, rel_tol=tolerance, abs_tol=min(tolerance, SMALLEST))
    return "tolerated" if near_zero or near else "different"


def compare_answers(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Iterator[Item]:
    """Answers by what they answer. Tokens and text are equal or are not."""
    for (name, _), a, b in pairs(named(before, _asked), named(now, _asked)):
        if a is None or b is None:
            yield Item("answers", name, "different", *("there" if x is not None else None for x in (a, b)))
            continue
        wrong = [(key, x, y) for key, x, y in sorted(pairs(a, b), key=itemgetter(0)) if x != y]
        if not wrong:
            yield Item("answers", name, "equal")
        yield from (Item("answers", f"{name}: {key}", "different", x, y) for key, x, y in wrong)


def _asked(line: Mapping[str, Any]) -> str:
    point = said(line.get("point", {}))
    return ", ".join([*(f"{key} {line[key]}" for key in _LINE if key in line), *([point] if point else ())])


def compare_vectors(before: Path, now: Path, tolerance: Tolerance) -> Iterator[Item]:
    """The vectors of two run directories: headers, and each tensor row by row. A row that differs shows its cosine."""
    for name, old, new in vectors(before, now):
        headers = [_header(x) for x in (old, new)]
        if old is None or new is None or None in headers:
            there = (None if x is None else "there" for x in headers)
            yield Item("vectors", f"{name}.safetensors", "different", *there)
            continue
        yield from walk("vectors", f"{name}.header", headers[0], headers[1], tolerance.figures)
        for tensor, a, b in sorted(pairs(old[1], new[1]), key=itemgetter(0)):
            yield from _rows(f"{name}.{tensor}", a, b, tolerance)


def _header(read: Read | None) -> Any:
    """What a vector's file says of itself; None where it says nothing that can be read."""
    try:
        return None if read is None else parse_json(read[0].get("steerdsl", "{}"), finite=False)
    except Misread:
        return None


def _rows(name: str, before: Any, now: Any, tolerance: Tolerance) -> Iterator[Item]:
    if before is None or now is None or before.shape != now.shape or before.dtype != now.dtype:
        yield Item("vectors", name, "different", *(None if x is None else list(x.shape) for x in (before, now)))
    elif before.ndim < 2:
        yield from walk("vectors", name, before.tolist(), now.tolist(), tolerance.figures)
    else:
        for i, (a, b) in enumerate(zip(before.double(), now.double(), strict=True)):
            yield _row(f"{name}[{i}]", a, b, tolerance.rows)


def _row(name: str, a: Any, b: Any, tolerance: float) -> Item:
    import torch
    from torch.nn.functional import cosine_similarity

    if torch.equal(a, b):
        return Item("vectors", name, "equal")
    near = (a - b).norm() <= tolerance * max(a.norm(), b.norm())
    cosine = cosine_similarity(a.flatten(), b.flatten(), dim=0)
    return Item("vectors", name, "tolerated" if near else "different", None, f"cosine {cosine:.6f}")
