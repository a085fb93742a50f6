"""What a user did wrong, as a value, and how it is printed.

In: made by every pass. Out: `render` (plain text, as rustc prints), `to_json`.
A user's mistake is never an exception inside the passes; `RecipeError` carries finished
diagnostics to the edge of the program, where the command turns them into text and an exit code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from steerdsl.lang.source import Source, Span
from steerdsl.lang.visible import in_line, visible

LONGEST = 600  # characters of a title, a note or a help that are printed
SHOWN = 200  # columns of a line that are printed: a file from elsewhere may have lines of any length
Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Label:
    """A place, and the few words written under it."""

    source: Source
    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """`code` has a page in codes/; `title` is lower case without a full stop; `labels[0]` is the
    place itself (none for what has no place in a text); only `help` suggests."""

    code: str
    title: str
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: Severity = "error"


class Exit(IntEnum):
    """The exit codes of the command line."""

    OK = 0
    INVALID = 1  # the recipe has a mistake
    CHANGED = 1  # two runs differ, or a layout
    USAGE = 2  # the command line has one, or names what is not there
    FAILED = 3  # the run, the machine or a server failed
    CHECK_FAILED = 4  # a `check` of the recipe does not hold
    DIFFERS = 4  # what was compared is not equal
    NOT_SETTLED = 5  # no `check` failed, and the prompts were too few to settle one
    INTERRUPTED = 130


class RecipeError(Exception):
    """The recipe, or what it names, cannot be used."""

    def __init__(self, diagnostics: Sequence[Diagnostic], exit_code: Exit = Exit.INVALID) -> None:
        super().__init__("; ".join(d.title for d in diagnostics))
        self.diagnostics = tuple(diagnostics)
        self.exit_code = exit_code


def render(diagnostic: Diagnostic) -> str:
    """One diagnostic as plain text, ending in a newline. What it quotes is made visible, and cut where it is long."""
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {in_line(_short(diagnostic.title))}"]
    places = [(label, label.source.position(label.span.start)) for label in diagnostic.labels]
    gutter = max((len(str(line)) for _, (line, _) in places), default=1)
    pad = " " * gutter
    for i, (label, (line, column)) in enumerate(places):
        whole = label.source.line(line).replace("\t", " ")
        width = max(1, min(label.span.end - label.span.start, len(whole) - column + 1))
        text, shift = _window(whole, column - 1)
        # What is made visible is wider than what it stands for.
        at = column - 1 - shift
        before, marked = (len(visible(part)) for part in (text[:at], text[at:][:width]))
        arrow = "-->" if i == 0 else ":::"
        lines += [
            f"{pad}{arrow} {in_line(label.source.name)}:{line}:{column}",
            f"{pad} |",
            f"{line:>{gutter}} | {visible(text)}".rstrip(),
            f"{pad} | {' ' * before}{'^' * max(marked, 1)} {in_line(_short(label.text))}".rstrip(),
            f"{pad} |",
        ]
    lines += [f"note: {visible(_short(note))}" for note in diagnostic.notes]
    if diagnostic.help:
        lines.append(f"help: {visible(_short(diagnostic.help))}")
    return "\n".join(lines) + "\n"


def _short(text: str) -> str:
    """A text as it is printed: what it quotes of a file may be of any length."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _window(line: str, at: int) -> tuple[str, int]:
    """The part of a line that is shown round a place, and how many columns were left out before it."""
    if len(line) <= SHOWN:
        return line, 0
    start = min(max(0, at - SHOWN // 4), len(line) - SHOWN)
    part = line[start : start + SHOWN]
    before, after = "…" if start else "", "…" if start + SHOWN < len(line) else ""
    return before + part + after, start - len(before)


def to_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """The diagnostic as `--json` prints it; lines and columns from 1, ends exclusive."""
    place: dict[str, Any] = dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    if diagnostic.labels:
        label = diagnostic.labels[0]
        line, column = label.source.position(label.span.start)
        end_line, end_column = label.source.position(label.span.end)
        place = {
            "file": label.source.name,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
        }
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.title,
        **place,
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
    }


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be: equal except for case, else the closest
    within a third of its length (at least one edit)."""
    names = sorted(set(known))
    for name in names:
        if name.lower() == word.lower():
            return name
    limit = max(1, len(word) // 3)
    best = min(((_distance(word, name, limit), name) for name in names), default=(limit + 1, ""))
    return best[1] if best[0] <= limit else None


def _distance(a: str, b: str, limit: int) -> int:
    """Edit distance with adjacent transpositions; `limit + 1` as soon as it must exceed `limit`."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]


@dataclass(slots=True)
class Report:
    """The diagnostics gathered while one source is read; passes add to it and go on."""

    source: Source
    found: list[Diagnostic] = field(default_factory=list)

    def add(
        self,
        code: str,
        title: str,
        span: Span | None,
        label: str = "",
        *,
        help: str | None = None,
        notes: tuple[str, ...] = (),
        severity: Severity = "error",
    ) -> None:
        labels = (Label(self.source, span, label),) if span is not None else ()
        self.found.append(Diagnostic(code, title, labels, notes, help, severity))

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.found if d.severity == "error"]
