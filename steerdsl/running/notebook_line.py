"""How far a run is, in a notebook: one line under the cell that is written over, and in the end says what was done.

In: news of a run. Out: a display of plain text. It needs no widget, so that it shows wherever a notebook is opened.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from steerdsl.lang.visible import in_line
from steerdsl.running.progress import STORED, StepProgress
from steerdsl.running.step_line import StepLine
from steerdsl.show.numbers import duration

EVERY = 0.2  # seconds between two pictures of the line
WIDTH = 100  # columns


@contextmanager
def shown(told: StepProgress | None) -> Iterator[StepProgress | None]:
    """What gets news of a run: `told`, or where nothing was said of it the line of a notebook."""
    if told is not None or not in_notebook():
        yield told
        return
    line = NotebookLine()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")  # tqdm asks for widgets, and needs none
            yield line
    finally:
        line.close()


def in_notebook() -> bool:
    """Whether this process answers the cells of a notebook. Imports nothing: who runs in one has IPython loaded."""
    loaded: Any = sys.modules.get("IPython")
    shell = loaded.get_ipython() if loaded is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookLine(StepLine):
    """The line of one run."""

    def __init__(self) -> None:
        super().__init__()
        from IPython.display import display

        self.started = self.drawn = time.monotonic()
        self.steps = self.stored = 0
        self.handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def __call__(self, text: str, done: int, total: int, unit: str = "") -> None:
        self.count(text, done, total, unit)
        now = time.monotonic()
        if now - self.drawn >= EVERY:
            self.drawn = now
            self._write(self.line(now, WIDTH).rstrip())

    def title(self, text: str) -> None:
        """A step begins."""
        self.begin(text)
        if text:
            self._write(self.line(time.monotonic(), WIDTH).rstrip())

    def finished(self, note: str = "") -> None:
        """The step has come to its end."""
        self.steps += 1
        self.stored += note == STORED

    def say(self, text: str) -> None:
        """What must be known once."""
        sys.stderr.write(f"{in_line(text)}\n")

    def close(self) -> None:
        """Nothing more is done: the line says what was."""
        kept = f", {self.stored} of them {STORED}" if self.stored else ""
        steps = f"{self.steps} step{'' if self.steps == 1 else 's'}{kept}, " if self.steps else ""
        self._write(f"{steps}{duration(time.monotonic() - self.started)}")

    def _write(self, text: str) -> None:
        self.handle.update({"text/plain": text}, raw=True)
