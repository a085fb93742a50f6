"""How a conversation looks: two columns that grow on a terminal, lines in a pipe.

In: what a person types, answers in the making. Out: text; whatever a model writes is shown and steers no terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.live import Live
from rich.table import Table as Columns
from rich.text import Text

from steerdsl.show.terminal import Terminal

PROMPT = "> "
PER_SECOND = 12  # pictures of the columns


class Screen:
    """Reads lines from `stream`, and prints. On a terminal answers are seen as they grow."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.console = Terminal()
        self.live = self.console.is_terminal and stream.isatty()

    def line(self) -> str | None:
        """What is typed next; None at the end of the input."""
        if not self.live:
            read = self.stream.readline()
            return read.rstrip("\n") if read else None
        import contextlib

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (the line can be edited, and earlier ones come back)
        try:
            return input(PROMPT)
        except EOFError:
            self.say("")
            return None

    def say(self, text: str) -> None:
        """Print a text."""
        self.console.print(Text(text), soft_wrap=True)

    def growing(self) -> Live | None:
        """Where answers are shown while they are made; None in a pipe."""
        if not self.live:
            return None
        return Live(console=self.console, refresh_per_second=PER_SECOND, transient=True, vertical_overflow="ellipsis")

    def columns(self, answers: Mapping[str, str]) -> Columns:
        """Answers beside each other, each under its title."""
        table = Columns(expand=True, padding=(0, 1), box=None)
        for title in answers:
            table.add_column(Text(title, style="bold"), ratio=1, overflow="fold")
        table.add_row(*(Text(text) for text in answers.values()))
        return table

    def answered(self, answers: Mapping[str, str], titles: Sequence[str]) -> None:
        """The answers once they are made."""
        shown = {title: answers.get(side, "") for side, title in zip(answers, titles, strict=True)}
        if self.live:
            self.console.print(self.columns(shown))
        else:
            for title, text in shown.items():
                self.say(f"{title}: {text}")
            self.stream_flush()

    def stream_flush(self) -> None:
        """Let a reader of the pipe have what was printed."""
        self.console.file.flush()
