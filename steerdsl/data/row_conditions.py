"""Which rows of a file a data set has: `where label == 1`.

In: the records of a file and the conditions of the recipe. Out: those that meet them, with their places in the file,
or the fault.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from steerdsl.data.faults import Fault
from steerdsl.data.fields import ABSENT, names, pick
from steerdsl.data.types import RawRow, RawTable
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.recipe import Where, where_text

Placed = list[tuple[int, RawRow]]
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
LISTED = 8  # values that a message lists
LONGEST = 40  # characters of one


def chosen(table: RawTable, records: Placed, tests: Sequence[Where]) -> tuple[Placed, list[Fault]]:
    """The records that meet all `tests`. D508: a field that there is not; D543: no row is left."""
    absent = [test.field for test in tests if all(pick(r.fields, test.field) is ABSENT for _, r in records)]
    if absent:
        known = names(table)
        near = nearest(absent[0], known)
        help = f'did you mean "{near}"?' if near else f"its fields are {', '.join(known[:LISTED])}"
        return [], [Fault("D508", f'{table.name} has no field "{absent[0]}"', help)]
    found = [(i, r) for i, r in records if all(holds(test, pick(r.fields, test.field)) for test in tests)]
    if not found and records:
        return [], [_none(table, records, tests)]
    return found, []


def unsaid(table: RawTable, records: Placed, tests: Iterable[Where]) -> list[Fault]:
    """D547 (a warning), for each field of `tests`: rows that meet no condition since they have no value there."""
    faults = []
    for name in dict.fromkeys(test.field for test in tests):
        values = ((record.line, pick(record.fields, name)) for _, record in records)
        lines = [line for line, value in values if value is None or value is ABSENT]
        if lines:
            title = f'{len(lines)} of {len(records)} rows of {table.name} have no value of "{name}" and are left out'
            help = f"fill it in, or take these rows out; the first is {table.unit} {lines[0]}"
            faults.append(Fault("D547", title, help, severity="warning"))
    return faults


def sided(table: RawTable, records: Placed, sides: Mapping[str, Sequence[Where]]) -> tuple[dict[int, str], list[Fault]]:
    """The side of each record that is on one, by its place. D546: a row that is on both sides."""
    found: dict[int, str] = {}
    faults: list[Fault] = []
    for side, tests in sides.items():
        rows, wrong = chosen(table, records, tests)
        faults += wrong
        for place, record in rows:
            if place in found:
                title = f"{table.at(record.line)} is on both sides"
                help = "write conditions of which a row meets only one"
                faults.append(Fault("D546", title, help, record.line))
            found.setdefault(place, side)
    return found, faults


def holds(test: Where, value: Any) -> bool:
    """Whether a value is as a condition says. Texts that are numbers, as in a csv, are compared with numbers as
    such; what is no number is in no order with one."""
    if value is ABSENT or value is None:
        return False
    wanted, own = _alike(test.value, value)
    if own is None:
        return test.op == "!="
    return COMPARE[test.op](own, wanted)


def _alike(wanted: float | str | bool, value: Any) -> tuple[Any, Any]:
    """What the recipe says and what the row has, as values of one kind; None for one that cannot be."""
    if isinstance(wanted, bool):
        words = {"true": True, "false": False}
        return wanted, value if isinstance(value, bool) else words.get(str(value).strip().casefold())
    if isinstance(wanted, str):
        text = value if isinstance(value, str) else _shown(value)
        return wanted, None if isinstance(value, list | dict) else text
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return wanted, None
    try:
        return wanted, float(value)
    except (ValueError, OverflowError):
        return wanted, None


def _none(table: RawTable, records: Placed, tests: Sequence[Where]) -> Fault:
    title = f"of {len(records)} rows of {table.name} none has {where_text(tests)}"
    for test in tests:
        if not any(holds(test, pick(r.fields, test.field)) for _, r in records):
            return Fault("D543", title, f'"{test.field}" is {_values(pick(r.fields, test.field) for _, r in records)}')
    return Fault("D543", title, "no row meets all of these: leave one out")


def _values(values: Iterable[Any]) -> str:
    """The commonest values and how often each is there."""
    counts = Counter(_shown(value) for value in values if value is not ABSENT)
    listed = [f"{value} ({count:,})" for value, count in counts.most_common(LISTED)]
    more = f" and {len(counts) - LISTED:,} others" if len(counts) > LISTED else ""
    return ", ".join(listed) + more


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "null" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
