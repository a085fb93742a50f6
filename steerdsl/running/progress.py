"""How far a run is, for those who want to show it.

Commands show it on the terminal, Python programs get it by a callable. No tensor library is imported here.
"""

from __future__ import annotations

from typing import Protocol

STORED = "in the store already"  # the note of a step that was not computed again


class StepProgress(Protocol):
    """Gets news of a run: what is being done and how much of it, each step by its title and its end, and what
    the user must know once."""

    def __call__(self, text: str, done: int, total: int, unit: str = "", /) -> None: ...
    def title(self, text: str, /) -> None: ...
    def finished(self, note: str = "", /) -> None: ...
    def say(self, text: str, /) -> None: ...


class Quiet:
    """Progress of a run that shows none."""

    def __call__(self, text: str, done: int, total: int, unit: str = "") -> None: ...
    def title(self, text: str) -> None: ...
    def finished(self, note: str = "") -> None: ...
    def say(self, text: str) -> None: ...
