"""Progress on the terminal: one line for what is being done, on standard error."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Progress:
    """Called with (text, done, total) by whatever takes long; `title` names the step it belongs to.
    Nothing is printed unless `shown` and standard error is a terminal; then a line a step is."""

    def __init__(self, shown: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        from steerdsl.show.terminal import Terminal

        self.console = Terminal(stderr=True)
        self.shown = shown
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        live = shown and self.console.is_terminal
        self.bars = Bars(*columns, console=self.console, transient=True, disable=not live)
        self.heading = ""
        self.task: object | None = None
        self.text = ""

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def title(self, text: str) -> None:
        """Begin a step."""
        self.heading = text
        if self.shown and not self.console.is_terminal:
            self.console.print(text, markup=False, highlight=False)

    def say(self, text: str) -> None:
        """Print what the user must know once."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __call__(self, text: str, done: int, total: int) -> None:
        shown = f"{self.heading} {text}".strip()
        if shown != self.text:
            if self.task is not None:
                self.bars.remove_task(self.task)  # type: ignore[arg-type]
            self.task, self.text = self.bars.add_task(shown, total=None), shown
        self.bars.update(self.task, completed=done, total=total or None)  # type: ignore[arg-type]
