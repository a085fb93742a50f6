"""Tell folders that a running process is writing from those that a killed one left.

In: a folder. Out: whether some process still holds it. The hold is a lock on the folder itself, which
the system lets go of when its process ends, however it ends; it holds across containers and users.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks, nor folders that can be opened
    fcntl = None  # type: ignore[assignment]

NEW, OLD = ".new-", ".old-"
A_DAY = 24 * 3600
TIME = r"-\d{8}-\d{6}(-\d+)?"  # the end of the name of a run directory that nobody named
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def claim(folder: Path) -> int | None:
    """Make `folder` and hold it until `release`, or until this process ends.

    Returns what `release` takes: None where the system or the disk has no such locks. Raises OSError
    when the folder exists or cannot be made.
    """
    while True:
        folder.mkdir(parents=True)
        if fcntl is None:
            return None
        # Until it is locked, somebody who tidies up may take it for a leftover.
        with suppress(FileNotFoundError):
            held = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_SH)
            except OSError:
                os.close(held)
                return None
            if folder.exists():
                return held
            os.close(held)


def release(held: int | None) -> None:
    """Let go of a claimed folder, wherever it has been renamed to."""
    if held is not None:
        os.close(held)


def abandoned(folder: Path) -> bool:
    """Whether no process holds `folder`. Where that cannot be known, whether it is a day old."""
    with _alone(folder) as alone:
        return alone


def remove_abandoned(folder: Path) -> bool:
    """Remove `folder` unless a process holds it; whether it is gone now. A process that has just made it,
    and not locked it yet, waits until it is gone and makes it again."""
    with _alone(folder) as alone:
        if alone:
            shutil.rmtree(folder, ignore_errors=True)
            return not folder.exists()
    return False


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no process holds `folder`, and while this lasts none can begin to."""
    try:
        held = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    except OSError:
        yield _old(folder)
        return
    try:
        yield _locked(held, folder)
    finally:
        os.close(held)


def _locked(held: int, folder: Path) -> bool:
    if fcntl is None:
        return _old(folder)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return _old(folder)
    return True


def _old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > A_DAY
    except OSError:
        return False


@contextmanager
def fresh_folder(parent: Path) -> Iterator[Path]:
    """A claimed empty folder in `parent`, under a name that nobody reads; removed unless renamed."""
    folder = parent / f"{NEW}{uuid.uuid4().hex}"
    held = claim(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        release(held)


def place(folder: Path, final: Path) -> bool:
    """Rename a folder to `final`; False when something is there. An empty folder is nothing."""
    try:
        folder.rename(final)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        raise
    return True


def discard(folder: Path) -> bool:
    """Remove a folder that others may be reading: it is gone at once, or this returns False."""
    away = folder.with_name(f"{OLD}{uuid.uuid4().hex}")
    try:
        folder.rename(away)
    except OSError:
        return False
    shutil.rmtree(away, ignore_errors=True)
    return True


def stopped_runs(path: Path) -> list[Path]:
    """What killed runs left next to the run directory `path`: those of the same name, at any time."""
    name = re.sub(f"{TIME}$", "", path.name)
    left = re.compile(rf"{re.escape(name)}({TIME})?\.(\d+|[0-9a-f]{{12}})\.(partial|old)")
    beside = path.parent.glob(f"{glob.escape(name)}*")
    return sorted(folder for folder in beside if left.fullmatch(folder.name) and abandoned(folder))
