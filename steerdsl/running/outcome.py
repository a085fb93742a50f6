"""How a run ended.

In: filled while a plan is run. Out: what a command prints, and what it does next. No tensor library is
imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from steerdsl.engine.context import Results
from steerdsl.forms.record import State
from steerdsl.lang.diagnostics import Exit, RecipeError
from steerdsl.store.directory import RunDirectory
from steerdsl.store.finished_run import FINISHED
from steerdsl.store.folder_locks import remove_abandoned, stopped_runs
from steerdsl.store.provenance import Makers

EXIT_CODES: Mapping[State, Exit] = MappingProxyType(
    {
        "complete": Exit.OK,
        "check failed": Exit.CHECK_FAILED,
        "check not settled": Exit.NOT_SETTLED,
        "interrupted": Exit.INTERRUPTED,
        "failed": Exit.FAILED,
    }
)


class Outcome:
    """How a run ended: its directory, its results, the titles of what was said before it began, its exit code; and
    the diagnostics, or in one line what else, that ended it early. `bug` is an exception that nobody expected;
    `makers` say what its results were made with."""

    def __init__(self, directory: RunDirectory, results: Results, told: Sequence[str]) -> None:
        self.directory, self.results, self.told = directory, results, tuple(told)
        self.exit_code: Exit = Exit.OK
        self.state: State = "complete"
        self.stopped_at = ""
        self.error: RecipeError | None = None
        self.why: str | None = None
        self.bug: Exception | None = None
        self.makers: Makers | None = None

    def require_whole(self) -> None:
        """Raise what ended the run early: a bug, a diagnostic, or that somebody stopped it."""
        if ended := self.bug or self.error:
            raise ended
        if self.state == "interrupted":
            raise KeyboardInterrupt(self.why or "")


def remove_stopped(outcome: Outcome) -> list[str]:
    """Once a run has come to its end, remove what killed runs of the same name left: the store had
    their answers, and this run has them now. The folders that were removed."""
    if outcome.state not in FINISHED:
        return []
    return [str(folder) for folder in stopped_runs(outcome.directory.path) if remove_abandoned(folder)]
