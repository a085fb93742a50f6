"""A finished run as one result in the store: the same run is taken from there, and no tensor library is loaded.

In: a run directory, and the keys of the results that it was made from. Out: the same directory once more, with a
record of its own. A run is taken only where every result behind it is in the store and matches its hash, as if it
were loaded: what is missing or damaged is made again, step by step.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steerdsl.forms.files import Misread, is_inside
from steerdsl.forms.kept import LARGEST_NOTE, WHOLE
from steerdsl.forms.record import RECORD
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, Label
from steerdsl.lang.source import Source, Span
from steerdsl.running.record import relative
from steerdsl.store.directory import RESERVE, RunDirectory
from steerdsl.store.files import write_json
from steerdsl.store.folder_locks import discard
from steerdsl.store.provenance import Makers
from steerdsl.store.results import Store, read_meta

KIND = "run"
FILES, ABOUT = "files.zip", "run.json"
LARGEST = 64 << 20  # bytes of a run directory that is kept: one with a checkpoint in it is made again
MADE_ANEW = ("report.html",)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a run that is kept: `keys` are the results that it used, `done` says that a step like it is in
    the store already."""

    number: int
    verb: str
    name: str
    done: bool
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """What is known of a run besides its files. `here` is what it made its own results with; `said` was printed
    before it began; `warnings` are those of its record, except the one about results that something else made."""

    here: Mapping[str, str]
    steps: tuple[Step, ...]
    said: tuple[Diagnostic, ...]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class Taken:
    """A run that is taken from the store: where its files are, and what its record says of this time."""

    whole: Whole
    makers: Makers
    folder: Path
    timings: list[dict[str, Any]] = field(default_factory=list)


def keep(store: Store, key: str, whole: Whole, folder: Path, name: str) -> None:
    """Keep the run directory `folder` as the result of `key`, replacing an older one; nothing where it is
    too large, or where something was said of a text that is not the recipe `name`."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in files if path.relative_to(folder).as_posix() not in (*MADE_ANEW, RESERVE)]
    labels = [label for said in whole.said for label in said.labels]
    if sum(path.stat().st_size for path in files) > LARGEST or any(label.source.name != name for label in labels):
        return
    if not all(is_inside(path, folder) for path in files):
        return

    def write(fresh: Path) -> None:
        with zipfile.ZipFile(fresh / FILES, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in files:
                archive.write(path, path.relative_to(folder))
        write_json(fresh / ABOUT, _plain(whole))

    discard(store.folder(key))
    store.put(key, {"kind": KIND, "recipe": name}, write)


def needed(store: Store, keys: Iterable[str], without: Collection[str]) -> tuple[str, ...]:
    """Of the results that a step has used those that its next run will: not those of the kinds `without`, and not
    what has been removed since."""
    found = []
    for key in keys:
        with suppress(OSError, ValueError):
            if read_meta(store.folder(key)).get("kind") not in without:
                found.append(key)
    return tuple(found)


def find(store: Store, key: str, source: Source) -> Taken | None:
    """The run of this key, with every result behind it looked at; None where one is missing or damaged."""
    whole = store.load(key, lambda folder: _whole(folder, source))
    if whole is None:
        return None
    makers = Makers(whole.here)
    taken = Taken(whole, makers, store.folder(key))
    for step in whole.steps:
        start = time.perf_counter()
        makers.begin(step.number)
        for own in step.keys:
            if (folder := store.get(own)) is None:
                return None
            try:
                makers.take(read_meta(folder))
            except (OSError, ValueError):  # removed meanwhile
                return None
        seconds = time.perf_counter() - start
        about = {"step": step.number, "verb": step.verb, "name": step.name, "seconds": round(seconds, 3)}
        taken.timings.append({**about, "requests": 0, "sent": 0, "received": 0})
    return taken


def unpack(taken: Taken, directory: RunDirectory, root: Path) -> dict[str, Any]:
    """Put the files of a run into a run directory, whose recipe is in `root`, and return its record, which says
    when and how this run was made. Raises OSError, also where the run has been removed from the store meanwhile."""
    folder = directory.fresh
    try:
        with zipfile.ZipFile(taken.folder / FILES) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise Misread(f"{FILES} is too large")
            archive.extractall(folder)
        record: dict[str, Any] = read_json(folder / "record.json", RECORD, within=folder)
    except (ValueError, zipfile.BadZipFile) as error:
        raise OSError(f"the run in {taken.folder} cannot be read") from error
    warning = taken.makers.warning()
    record |= {
        "recipe": {**record["recipe"], "folder": relative(root, directory.path)},
        "warnings": [*taken.whole.warnings, *([warning] if warning else [])],
        "reused_from": taken.makers.reused,
        "timings": taken.timings,
        "started": datetime.fromtimestamp(directory.started, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - directory.started, 3),
    }
    write_json(folder / "record.json", record)
    return record


def _whole(folder: Path, source: Source) -> Whole:
    """What `_plain` wrote; places of what was said are in `source`."""
    found = read_json(folder / ABOUT, WHOLE, most=LARGEST_NOTE, within=folder)
    return Whole(
        found["here"],
        tuple(Step(**{**step, "keys": tuple(step["keys"])}) for step in found["steps"]),
        tuple(_diagnostic(said, source) for said in found["said"]),
        tuple(found["warnings"]),
    )


def _diagnostic(said: Mapping[str, Any], source: Source) -> Diagnostic:
    labels = tuple(Label(source, Span(start, end), text) for start, end, text in said["labels"])
    return Diagnostic(said["code"], said["title"], labels, tuple(said["notes"]), said["help"], said["severity"])


def _plain(whole: Whole) -> dict[str, Any]:
    """A run that is kept as JSON says it."""

    def said(found: Diagnostic) -> dict[str, Any]:
        labels = [[label.span.start, label.span.end, label.text] for label in found.labels]
        about = {name: getattr(found, name) for name in ("code", "title", "severity", "help")}
        return {**about, "notes": list(found.notes), "labels": labels}

    steps = [asdict(step) for step in whole.steps]
    return {
        "here": dict(whole.here),
        "steps": [{**step, "keys": list(step["keys"])} for step in steps],
        "said": [said(found) for found in whole.said],
        "warnings": list(whole.warnings),
    }
