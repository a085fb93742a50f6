"""Read a file that somebody else may have put there.

In: a path, the most bytes that it may have, and the folder that it must not lead out of. Out: its bytes. A
pipe, a device or a socket is refused before it is read: it would never end. Raises OSError where the system
refuses, `Misread` for all else.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

LARGEST = 64 << 20  # bytes of a JSON file: the scores of a thousand points have a tenth of it
_CHUNK = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Misread(ValueError):
    """A file is not what it should be. The text says which and how, as in `scores.json is a pipe, not a file`."""


def read_bytes(path: Path, most: int = LARGEST, within: Path | None = None) -> bytes:
    """The bytes of a regular file of at most `most` bytes that is in the folder `within`, links followed."""
    if within is not None:
        require_inside(path, within)
    # Opening a pipe waits for a writer without this.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        size = require_regular(path, os.fstat(handle)).st_size
        if size > most:
            raise Misread(f"{path.name} has {size:,} bytes, and at most {most:,} are read")
        file = os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
    parts, size = list[bytes](), 0
    with file:
        while part := file.read(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > most:  # it grew, or it is one of /proc, which have no size
                raise Misread(f"{path.name} has more than {most:,} bytes")
    return b"".join(parts)


def require_regular(path: Path, found: os.stat_result | None = None) -> os.stat_result:
    """The state of a regular file. Raises OSError, or `Misread` for a folder, a pipe, a socket or a device."""
    found = os.stat(path) if found is None else found
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for test, name in _KINDS if test(found.st_mode)), "something else")
        raise Misread(f"{path.name} is {kind}, not a file")
    return found


def require_inside(path: Path, folder: Path) -> None:
    """Raise `Misread` where links on the way to `path` lead out of `folder`."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise Misread(f"{path.name} leads out of its folder")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` is a regular file in `folder`, links followed."""
    try:
        require_inside(path, folder)
        require_regular(path)
    except (OSError, ValueError):
        return False
    return True


def file_state(path: Path) -> tuple[int, ...]:
    """By what a file is known to be as it was: its size, its number and both of its times. Copying tools set the time
    of writing; the other one they cannot."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
