"""The folder of a run and its name: what it may replace, and what happens when several runs want one.

In: the name that a run is to have. Out: a folder under a temporary name, which is renamed when the run has
ended. A run that is killed leaves that folder, which ends in `.partial`, with every answer that it had.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steerdsl.forms.files import is_inside
from steerdsl.forms.runs import MARK, exports
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.store.folder_locks import claim, place, release
from steerdsl.store.results import file_sha256

WRITTEN = ("scores.json", "scores.csv", "generations.jsonl", "vectors", "plots")  # what old records do not list
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # what systems leave in folders that people look into
RESERVE, RESERVED = ".reserve", 1 << 20  # bytes that are kept free for the record of a run whose disk fills up


@dataclass(slots=True)
class RunDirectory:
    """A run directory in the making. `path` is its final name, which another run may take before, and `wanted`
    what was asked for; `fresh` where it is written, `replace` whether an old run may give way to it, `held` what
    tells others that this process writes there."""

    path: Path
    fresh: Path
    replace: bool = False
    started: float = field(default_factory=time.time)
    held: int | None = None
    wanted: Path = field(init=False)

    def __post_init__(self) -> None:
        self.wanted = self.path

    @classmethod
    def create(cls, path: Path, force: bool) -> RunDirectory:
        """Begin a run directory. Raises RecipeError R801 when there is a run and it may not be replaced,
        R803 when there is something that never is, R802 when it cannot be made."""
        if path.is_symlink() or path.name in ("", ".."):
            path = Path(os.path.realpath(path))
        try:
            if wrong := _in_the_way(path, force):
                raise RecipeError([wrong], Exit.USAGE)
            fresh = _beside(path, "partial")
            held = claim(fresh)
            _reserve(fresh)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            title = f"{path} could not be created: {reason}"
            raise RecipeError(
                [Diagnostic("R802", title, help="choose another folder with --out")], Exit.FAILED
            ) from error
        return cls(path, fresh, force, held=held)

    @classmethod
    def by_time(cls, stem: str) -> RunDirectory:
        """Begin a run directory in `runs`, named by the time. Raises RecipeError R802."""
        return cls.create(_free(Path("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"), force=False)

    def keep(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append answers as they are made, so that an interrupted run shows them."""
        path = self.fresh / "generations.jsonl"
        before = path.stat().st_size if path.exists() else 0
        try:
            with path.open("a", encoding="utf-8") as f:
                f.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        except OSError:
            with suppress(OSError):  # a full disk: no half line stays
                os.truncate(path, before)
            raise

    def make_room(self) -> None:
        """Give back the room that was reserved for the record, should the disk be full by now."""
        (self.fresh / RESERVE).unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the folder its final name. An old run gives way where it may be replaced; what else has
        appeared there meanwhile stays, and `path` becomes a free name next to it."""
        self.make_room()
        old: list[Path] = []
        while not place(self.fresh, self.path):
            if self.replace and not _foreign(self.path):
                old.append(_beside(self.path, "old"))
                with suppress(FileNotFoundError):  # another run, which replaces it too, has moved it
                    self.path.rename(old[-1])
            else:
                self.path, self.replace = _free(self.wanted), False
        release(self.held)
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory with nothing in it that the run did not write."""
    return _stranger(folder) is None


def _stranger(folder: Path) -> str | None:
    """What is in a folder that no run wrote, by its path there; `record.json` itself if it is not a record of a
    run, None where all is a run's."""
    try:
        record = read_json(folder / "record.json", MARK, within=folder)
    except (OSError, ValueError):
        return "record.json"
    written = ("record.json", "report.html", *record.get("files", WRITTEN), *exports(record))
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        ours = any(name == own or name.startswith(f"{own.rstrip('/')}/") for own in written)
        if not ours and path.name not in LITTER and not (path.is_dir() and not path.is_symlink()):
            return name
    return None


def hashes(folder: Path, except_: Sequence[str] = ()) -> dict[str, str]:
    """SHA-256 of each file of a run directory by its path there: not of exports, which the recipe makes
    again, nor of the record and the report, which are written from it, nor of what links lead to elsewhere."""
    names = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if is_inside(path, folder)}
    left_out = ("record.json", "report.html", *except_)
    return {
        name: file_sha256(path)
        for name, path in names.items()
        if not any(name == other or name.startswith(f"{other.rstrip('/')}/") for other in left_out)
    }


def _reserve(fresh: Path) -> None:
    """Keep room for the record. Where there is none, nothing stays."""
    try:
        (fresh / RESERVE).write_bytes(bytes(RESERVED))
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _in_the_way(path: Path, force: bool) -> Diagnostic | None:
    """What keeps a run directory from being made at `path`; an empty folder does not."""
    if reason := _never(path):
        title = f"{path} cannot become the run directory: {reason}"
        inside = ", or one in it" if path.is_dir() else ""
        return Diagnostic("R803", title, help=f"name another folder with --out{inside}")
    if is_run(path) and not force:
        return Diagnostic("R801", f"{path} already exists", help="name another folder with --out, or add --force")
    return None


def _never(path: Path) -> str | None:
    """Why what is at `path` is replaced in no case; None for a run, an empty folder, and nothing."""
    here = Path.cwd()
    if Path(os.path.realpath(path)) in (here, *here.parents):
        return "this command was started in it"
    if os.path.ismount(path):
        return "a disk is mounted there"
    with suppress(FileNotFoundError):
        if _foreign(path) and not path.is_dir():
            return "it is a file"
        if _foreign(path) and any(path.iterdir()):
            name = _stranger(path)
            known = (path / "record.json").exists() and name not in (None, "record.json")
            return f"it holds {name}, which no run wrote" if known else "it is a folder with other things"
    return None


def _foreign(path: Path) -> bool:
    """Whether there is something that is not a run. Other runs may put and move theirs while this looks,
    and then it looks again."""
    with suppress(FileNotFoundError):
        before = path.stat()
        while not is_run(path):
            after = path.stat()
            if (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns):
                return True
            before = after
    return False


def _free(path: Path) -> Path:
    """`path`, or the first of `path`-2, `path`-3, … that is not there."""
    free, number = path, 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _beside(path: Path, ending: str) -> Path:
    """A name next to `path` that nobody else takes: in a container every run may have the same process id."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.{ending}")
