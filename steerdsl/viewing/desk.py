"""The model behind the dial: opened when a page asks for it, one at a time.

In: what opens the steers of an item. Out: a `Desk`, which says how far it is and has the batcher that answers. An item
with the model of the one before it takes that model over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.running.ending import machine
from steerdsl.running.progress import StepProgress
from steerdsl.serving.batcher import Batcher
from steerdsl.serving.served import RequestLimits, Served
from steerdsl.serving.steers import Steers
from steerdsl.viewing.dial import Turned, steers

# Opens the steers of a recipe, a run or a pack, with the model where it is open.
Opener = Callable[[Path, StepProgress], Steers]


@dataclass(frozen=True, slots=True)
class OpenSteers:
    """The steers of an item, ready to answer."""

    served: Served
    batcher: Batcher
    steers: dict[str, Turned]


class LastWord:
    """Progress whose last word is kept."""

    def __init__(self) -> None:
        self.text = "reading the recipe"

    def __call__(self, text: str, done: int, total: int, unit: str = "") -> None:
        self.text = f"{text}  {done * 100 // total}%" if total else text

    def title(self, text: str) -> None:
        self.text = text

    def finished(self, note: str = "") -> None: ...
    def say(self, text: str) -> None: ...


class Desk:
    """What is open, or being opened."""

    def __init__(self, opener: Opener, limits: RequestLimits) -> None:
        self.opener, self.limits = opener, limits
        self.name = ""  # of the item that is open, being opened, or could not be
        self.stamp: Hashable = None  # of its files when that began
        self.opened: OpenSteers | None = None
        self.wrong = ""
        self._told = LastWord()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether something is being opened."""
        return self._thread is not None and self._thread.is_alive()

    def open(self, name: str, source: Path, stamp: Hashable) -> bool:
        """Begin to open an item, if nothing else is being opened; returns whether it is the one. One whose files have
        another `stamp` than when it was opened is opened again."""
        with self._lock:
            same = (self.name, self.stamp) == (name, stamp)
            if self.busy or (self.opened is not None and same):
                return same
            if self._closed:
                return False
            self.name, self.stamp, self.wrong, self._told = name, stamp, "", LastWord()
            self._thread = threading.Thread(target=self._open, args=(source,), name="opening", daemon=True)
            self._thread.start()
            return True

    def state(self, name: str, stamp: Hashable) -> dict[str, Any]:
        """How far an item is: `closed`, `opening` with what is being done, `failed` with why, or `open`."""
        if (name, stamp) != (self.name, self.stamp):
            return {"state": "closed", "busy": self.busy}
        if self.busy:
            return {"state": "opening", "text": self._told.text}
        if self.opened is None:
            return {"state": "failed", "text": self.wrong}
        return {"state": "open"}

    def close(self) -> None:
        """Let go of the model."""
        with self._lock:
            self._closed = True
            before, self.opened = self.opened, None
        if before is not None:
            before.batcher.close()

    def _open(self, source: Path) -> None:
        before, self.opened = self.opened, None
        if before is not None:
            before.batcher.close()  # one thread at a time has the model
        try:
            made = self.opener(source, self._told)
            if before is not None and _same(before.served.steers, made):
                made.run.session = before.batcher.session
            before = None
            self._told.title("loading the model")
            session = made.session()
            batcher = Batcher(session, made.run.plan.answer_rows, self.limits.rows, self.limits.waiting)
            opened = OpenSteers(Served(made, self.limits), batcher, steers(made))
        except RecipeError as error:
            self.wrong = "".join(map(render, error.diagnostics))
        except Exception as error:
            refused = machine(error)
            self.wrong = (
                "".join(map(render, refused.diagnostics))
                if refused
                else f"this is a bug in steerdsl: {type(error).__name__}: {error}"
            )
        else:
            with self._lock:
                if not self._closed:
                    self.opened = opened
                    return
            batcher.close()


def _same(before: Steers, after: Steers) -> bool:
    """Whether two steers act in the same model, opened in the same way."""
    if after.run.opened:
        return False
    ours, theirs = before.run.plan, after.run.plan
    where = [(plan.model.located, plan.dtype, plan.options.device) for plan in (ours, theirs)]
    return where[0] == where[1]
