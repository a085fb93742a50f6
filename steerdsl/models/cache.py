"""The package's own cache folder, and the space on its disk.

In: the environment. Out: paths under `cache_root()`, and a refusal before a disk runs full.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Protocol

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError


class Progress(Protocol):
    """Told what is being done, how much of how much is done (a total of 0 is an unknown one), and in which
    unit it is counted: "bytes", "tokens" or nothing."""

    def __call__(self, text: str, done: int, total: int, unit: str = "", /) -> None: ...


def no_progress(text: str, done: int, total: int, unit: str = "") -> None:
    """The progress callback of callers who show none."""


def cache_root() -> Path:
    """`$STEERDSL_CACHE`, else `steerdsl` in the user's cache folder. It need not exist yet."""
    if own := os.environ.get("STEERDSL_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steerdsl"


def model_home(model_id: str) -> Path:
    """Where a model taken from a package is kept once it is converted."""
    return cache_root() / "models" / model_id.replace("/", "--")


def need_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise RecipeError M604 when the disk of `folder` has fewer than `needed` bytes free."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        title = f"not enough disk space for {purpose}: {size_text(needed)} needed, {size_text(free)} free"
        way_out = "free some space, or set STEERDSL_CACHE (HF_HOME for the hub's cache) to a folder on a larger disk"
        raise RecipeError([Diagnostic("M604", title, help=way_out)], Exit.FAILED)


def unwritable(error: OSError, always: bool = False) -> RecipeError | None:
    """The message for a disk that is full or closed to us (M616); None for any other error, unless `always`."""
    closed = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR)
    if not always and error.errno not in closed:
        return None
    title = f"the cache cannot be written: {(error.strerror or '').lower()}"
    notes = (f"the file: {error.filename}",) if error.filename else ()
    way_out = "set STEERDSL_CACHE (HF_HOME for the hub's cache) to a folder that you can write to"
    return RecipeError([Diagnostic("M616", title, (), notes, way_out)], Exit.FAILED)


def size_text(size: float) -> str:
    """A number of bytes for people: `98.4 MB`."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = 0
    while size >= 1000 and power < len(units) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.1f} {units[power]}" if power else f"{size:.0f} bytes"
