"""What is wrong with a data file, before it is known where the recipe names it.

In: made by every step of reading. Out: `diagnostics`, one for each kind of fault, on the `dataset`
statement; the lines with the same fault are listed in a note instead of being printed one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from steerdsl.lang.diagnostics import Diagnostic, Label, Severity
from steerdsl.lang.source import Source, Span

_LISTED = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """`title` names the file and the line; `line` (from 1) is None for what concerns the whole file."""

    code: str
    title: str
    help: str | None = None
    line: int | None = None
    severity: Severity = "error"


def diagnostics(
    faults: Iterable[Fault], span: Span, source: Source | None, label: str = "this data set"
) -> tuple[Diagnostic, ...]:
    """One diagnostic for each code, in the order of first appearance; without a source, without a label."""
    groups: dict[str, list[Fault]] = {}
    for fault in faults:
        groups.setdefault(fault.code, []).append(fault)
    labels = () if source is None else (Label(source, span, label),)
    return tuple(
        Diagnostic(first.code, first.title, labels, _also(rest), first.help, first.severity)
        for first, *rest in groups.values()
    )


def _also(rest: list[Fault]) -> tuple[str, ...]:
    """Places where there are places, else the titles."""
    places = [str(fault.line) for fault in rest if fault.line is not None]
    titles = tuple(fault.title for fault in rest if fault.line is None)
    if not places:
        return titles
    more = f" and {len(places) - _LISTED} more" if len(places) > _LISTED else ""
    return (f"the same kind of fault at {', '.join(places[:_LISTED])}{more}", *titles)
