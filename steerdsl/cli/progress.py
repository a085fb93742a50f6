"""Progress on standard error: what is being done, how far it is, how fast it goes, and how long it will take.

In: calls from everything that takes long, with counts. Out: on a terminal one line that is written over until its
step is finished, which leaves a line with its time; in a file or a pipe those lines alone, and a sign of life
now and then. Nothing heavy is imported: the first line is shown before the tensor libraries are loaded.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from steerdsl.lang.visible import in_line
from steerdsl.running.step_line import StepLine
from steerdsl.show.door import Door
from steerdsl.show.numbers import duration

EVERY = 0.2  # seconds between two pictures of the line
LIFE = 30.0  # seconds between two signs of life where there is no terminal
OVER = "\r\x1b[K"  # to the start of the line, and clear it


# Commands that load the tensor libraries, which takes seconds.
LONG = frozenset({"run", "plan", "verify", "parity", "lock", "eject", "pack", "chat", "serve"})


def announce(arguments: Sequence[str]) -> None:
    """Say at once what a command that takes long is about to do, before any of it is loaded."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    if command not in LONG or {"-q", "--quiet", "-h", "--help"} & set(arguments) or not sys.stderr.isatty():
        return
    file = next((word for word in arguments if Path(word).suffix in (".steer", ".steerpack")), "")
    line = in_line(f"{command} {file}".strip())
    stream = _plain(sys.stderr)
    stream.write(f"{line} …")
    stream.flush()

    def clear() -> None:
        for door in _doors():
            door.before = None
        stream.write(OVER)

    for door in _doors():
        door.before = clear


class Progress(StepLine):
    """Called with (text, done, total, unit) by everything that takes long; `title` names the step it belongs to."""

    def __init__(self, shown: bool) -> None:
        super().__init__()
        self.shown, self.live = shown, shown and sys.stderr.isatty()
        self.told = time.monotonic()
        self.drawn = False
        self.lock = threading.RLock()
        self.over = threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self.shown:
            self.drawn = any(stream.before is not None for stream in _doors())  # `announce` has begun it
            for stream in _doors():
                stream.before = self._clear
            self.watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        if self.watcher.ident is not None:
            self.watcher.join()
        self._clear()
        for stream in _doors():
            stream.before = None

    def title(self, text: str) -> None:
        """Begin a step."""
        with self.lock:
            self.begin(text)
        self._draw()

    def finished(self, note: str = "") -> None:
        """The step has come to its end: its line stays, with its time."""
        took = note or duration(time.monotonic() - self.step_begun)
        if self.shown:
            self.say(f"{self.heading}: {took}")
        self.title("")

    def say(self, text: str) -> None:
        """Print what the user must know once."""
        with self.lock:
            self._clear()
            sys.stderr.write(f"{in_line(text)}\n")

    def __call__(self, text: str, done: int, total: int, unit: str = "") -> None:
        with self.lock:
            self.count(text, done, total, unit)
        if not self.drawn:
            self._draw()

    def _watch(self) -> None:
        while not self.over.wait(EVERY):
            self._draw()

    def _draw(self) -> None:
        with self.lock:
            now = time.monotonic()
            if not self.shown or not (self.heading or self.text) or self.over.is_set():
                return
            if self.live:
                stream = _plain(sys.stderr)
                stream.write(OVER + self.line(now, shutil.get_terminal_size().columns - 1))
                stream.flush()
                self.drawn = True
            elif now - self.told >= LIFE:
                self.told = now
                sys.stderr.write(self.line(now, 1000) + "\n")
                sys.stderr.flush()

    def _clear(self) -> None:
        """Take the line away, for something else to be printed."""
        with self.lock:
            self.told = time.monotonic()
            if self.drawn:
                self.drawn = False
                stream = _plain(sys.stderr)
                stream.write(OVER)
                stream.flush()


def _plain(stream: TextIO) -> TextIO:
    """The stream without the call that takes the line away."""
    return stream.stream if isinstance(stream, Door) else stream


def _doors() -> list[Door]:
    return [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, Door)]
