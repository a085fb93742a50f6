"""What ends a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnostic:
    """What is wrong, and what helps. `code` is its number in steerdsl's documentation."""

    code: str
    title: str
    help: str


class RecipeError(SystemExit):
    """Ends the program with what is wrong."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("; ".join(f"{d.title} ({d.help})" for d in diagnostics))
