"""How much each addition of a run added, in every unit, as a table.

In: `doses` of a record. Out: rows for the terminal and the report: one for each operation, each figure from the least
to the most over its layers and the points of a sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from steerdsl.models.sites import spans
from steerdsl.show.numbers import NOTHING, number
from steerdsl.show.sheet import Sheet

HEAD = ("steer", "operation", "at", "raw vectors", "of each token's norm", "sd", "dose")
TITLE = "what was added, in every unit"
NOTE = (
    "Multiples of the raw vector; the share of a token's norm, on average over the training tokens; standard "
    "deviations of the training projections on the direction; the share of the mean norm of the training tokens. "
    "– where it cannot be told."
)


def rows(doses: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """The cells of each operation."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for found in doses:
        groups.setdefault((found["steer"], found["operation"], found["stream"]), []).append(found)
    for (steer, operation, stream), own in groups.items():
        where = f"{stream}, layer {spans(sorted({layer for found in own for layer in found['layers']}))}"
        figures = [[x for found in own for x in found[unit]] for unit in ("raw", "share", "sd", "dose")]
        yield (
            steer,
            operation,
            where,
            *(span(own, 100 if i in (1, 3) else 1, "%" * (i in (1, 3))) for i, own in enumerate(figures)),
        )


def span(values: Iterable[float | None], factor: float, unit: str) -> str:
    """The least and the most of some figures."""
    known = sorted(value * factor for value in values if value is not None)
    if not known:
        return NOTHING
    low, high = (f"{number(value, 3)}{unit}" for value in (known[0], known[-1]))
    return low if low == high else f"{low} to {high}"


def table(doses: Sequence[Mapping[str, Any]]) -> Sheet | None:
    """The table, or None where nothing was added."""
    found = list(rows(doses))
    return Sheet(HEAD, found, TITLE, left=(0, 1, 2), prose=(1,)) if found else None
