"""How a run is ended from outside, so that it always comes to its record.

In: signals, and streams whose reader may go away. Out: `Stopped` where the run is, once; no exception from
printing, and none while the record is written.
"""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
REFUSED = (
    *(errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, *FULL),
)
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
MOMENT = 2.0  # seconds
WAIT = "the record is being written; this takes a moment\n"


class Stopped(KeyboardInterrupt):
    """Somebody ended the run: a signal, or the reader of what it prints. The text says which."""


class Heard:
    """A stream to print on. Once it cannot be written to (its reader is gone, its disk is full), what is
    printed is dropped and `lost` says why; the run looks there between its steps."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.lost = stream, ""

    def write(self, text: str) -> int:
        """Print, or note that it cannot be done."""
        self._try(lambda: self.stream.write(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Print several texts."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Print what waits, or note that it cannot be done."""
        self._try(self.stream.flush)

    def _try(self, act: Callable[[], Any]) -> None:
        if self.lost:
            return
        try:
            act()
        except (OSError, ValueError) as error:
            if isinstance(error, UnicodeError):
                raise  # any other ValueError says that the stream was closed
            self.lost = f"its output can no longer be written: {getattr(error, 'strerror', None) or error}".lower()

    def drop(self) -> None:
        """Point the descriptor of a lost stream nowhere, so that the interpreter's last flush is silent."""
        if self.lost:
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def ended_by(error: Exception) -> RecipeError | None:
    """The message for a run that the machine ended: no room for the run directory (R815), or `machine`'s.
    None for anything else, which is a bug."""
    text = str(error).lower()
    full = (isinstance(error, OSError) and error.errno in FULL) or any(os.strerror(n).lower() in text for n in FULL)
    if not full:
        return machine(error)
    told = error if isinstance(error, OSError) and error.strerror else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    from steerdsl.running.finish import unwritten

    return RecipeError([unwritten(told, "the store has what was made so far")], Exit.FAILED)


def machine(error: Exception) -> RecipeError | None:
    """The message for what the machine refuses: memory (R816), a file (R817). None for anything else."""
    if out_of_memory(error):
        help = "lower --batch-size, or take a smaller model"
        return RecipeError([Diagnostic("R816", "there was not enough memory", help=help)], Exit.FAILED)
    if isinstance(error, OSError) and error.errno in REFUSED:
        title = f"{error.filename or 'a file'}: {(error.strerror or str(error)).lower()}"
        help = "make it readable and writable for you, or name another place"
        return RecipeError([Diagnostic("R817", title, help=help)], Exit.FAILED)
    return None


def out_of_memory(error: Exception) -> bool:
    """Whether the processor's or a GPU's memory was not enough: torch says it in words alone."""
    text = str(error).lower()
    said = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")
    return isinstance(error, MemoryError) or any(words in text for words in said)


@contextmanager
def heard() -> Iterator[None]:
    """While this lasts, printing raises nothing."""
    streams = sys.stdout, sys.stderr
    own = Heard(streams[0]), Heard(streams[1])
    sys.stdout, sys.stderr = own
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for stream in own:
            stream.drop()


def require_heard() -> None:
    """Raise Stopped when what the run prints can no longer be written."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Heard) and stream.lost:
            raise Stopped(stream.lost)


class Ear:
    """Hears the signals that end a run. While `deaf`, the record is being written and nothing ends it."""

    def __init__(self) -> None:
        self.deaf, self.last = False, -math.inf

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Raise Stopped where the run is; not twice within a moment, since the first is still on its way."""
        now = time.monotonic()
        again, self.last = now - self.last < MOMENT, now
        if self.deaf:
            sys.stderr.write(WAIT)
        elif not again:
            raise Stopped(f"stopped by {signal.Signals(number).name}")


@contextmanager
def listening(*, last: bool = False) -> Iterator[Ear]:
    """While this lasts, SIGTERM and SIGHUP end a run as Ctrl-C does, by `Ear.hear`. A signal that is ignored,
    as SIGHUP is under nohup, stays so. `last` says that the process ends with the run: once one signal has come,
    another has nothing to stop."""
    ear, before = Ear(), dict[int, Any]()
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name, None) for name in SIGNALS):
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, ear.hear)
    try:
        yield ear
    finally:
        ended = last and ear.last > -math.inf
        for number, old in before.items():
            signal.signal(number, signal.SIG_IGN if ended else old)
