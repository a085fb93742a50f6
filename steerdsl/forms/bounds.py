"""A bound on the time and memory of something that somebody else wrote and that has to run, such as a template.

Out: `bounded`, which raises `Overrun`. The bounds hold in the main thread of a Unix system; elsewhere there are
none, and the caller loses nothing but the bound.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Overrun(Exception):
    """What ran took more than it may. The text says of what."""


@contextmanager
def bounded(seconds: float, memory: int) -> Iterator[None]:
    """Run what is inside for at most `seconds`, with at most `memory` more bytes. Raises `Overrun`."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Overrun(f"it takes more than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with _memory(memory):
            yield
    except MemoryError as error:
        raise Overrun(f"it takes more than {memory >> 20} MB") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _memory(more: int) -> Iterator[None]:
    """Keep this process from taking more memory than `more` bytes beyond what it has; on Linux alone."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = used + more
        if soft != resource.RLIM_INFINITY and soft <= limit:
            raise OSError("there is a closer limit")
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
