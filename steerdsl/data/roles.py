"""From records to rows: which field of a file is the prompt, the answer, the two sides of a pair.

In: a `RawTable` and what the recipe says of it. Out: rows, the fields in force for each role,
and the faults of every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steerdsl.data import cells, likely
from steerdsl.data.faults import Fault
from steerdsl.data.fields import ABSENT, names, pick, reaching
from steerdsl.data.messages import is_chat
from steerdsl.data.row_conditions import Placed, chosen, sided, unsaid
from steerdsl.data.types import DataRow, RawRow, RawTable
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.recipe import Fields, Where

USUAL = ("prompt", "question", "text", "instruction", "goal")
TALK = "messages"  # the usual field of a conversation
LISTED = 12  # names of fields that a message lists
ANY: tuple[Where, ...] = ()
NO_SIDES: Mapping[str, tuple[Where, ...]] = {}


def assign(
    table: RawTable,
    named: Fields,
    where: tuple[Where, ...] = ANY,
    sides: Mapping[str, tuple[Where, ...]] = NO_SIDES,
    classes: str | None = None,
) -> tuple[Fields, list[DataRow], list[Fault]]:
    """Give each field of `table` its role, and leave out the rows that `where` and `sides` do not want. `classes` is
    the field of each row's class.

    A prompt that nobody named is the first of `USUAL` that the file has, or else `TALK`; pairs may do without one.
    Faults: D507 a column is one of several, D508 a field is missing, D509 it is not text, D510 it is empty, D514
    half a pair, D543-D546; as warnings D513 a row is repeated and D547 a row has nothing to compare.
    """
    if ("positive" in named) != ("negative" in named):
        return named, [], [_half_pair(table, named)]
    fields = _with_prompt(table, named)
    if fields is None:
        return named, [], [_no_prompt(table)]
    tests = [test for tests in (where, *sides.values()) for test in tests]
    roles = {**fields, **({"class": classes} if classes is not None else {})}
    used = [*_used(roles), *(test.field for test in tests)]
    faults = [_absent(table, name) for name in dict.fromkeys(_used(roles)) if not _has(table, name)]
    faults += [_repeated(table, name) for name in dict.fromkeys(used) if name in table.repeated]
    if faults:
        return fields, [], faults
    records: Placed = list(enumerate(table.records))
    if table.by_column:
        records = reaching(table.records, used)
    warnings = unsaid(table, records, tests)
    records, faults = chosen(table, records, where)
    labels: Mapping[int, str] = {}
    if sides and not faults:
        labels, faults = sided(table, records, sides)
        records = [(i, record) for i, record in records if i in labels]
    if classes is not None and not faults:
        named_classes = {i: cells.class_of(table, record, classes) for i, record in records}
        faults = [found for found in named_classes.values() if isinstance(found, Fault)]
        labels = {i: found for i, found in named_classes.items() if isinstance(found, str)}
    rows: list[DataRow] = []
    for index, record in records:
        row = cells.row(table, index, record, fields, labels.get(index))
        if isinstance(row, DataRow):
            rows.append(row)
        else:
            faults += row
    return fields, rows, faults or [*warnings, *_repeats(table, rows)]


def _used(fields: Fields) -> Iterator[str]:
    """The fields of the file that have a role."""
    for named in fields.values():
        yield from (named,) if isinstance(named, str) else named


def _has(table: RawTable, name: str) -> bool:
    return name in table.repeated or any(pick(record.fields, name) is not ABSENT for record in table.records)


def _with_prompt(table: RawTable, named: Fields) -> Fields | None:
    """The roles with that of the prompt; None where a file needs one and has none."""
    if "prompt" in named:
        return named
    first = table.records[0].fields
    usual = next((field for field in USUAL if field in first and not isinstance(first[field], Mapping)), None)
    if usual is None and is_chat(first.get(TALK)):
        usual = TALK
    if usual is not None:
        return {"prompt": usual, **named}
    return named if "positive" in named else None


def _half_pair(table: RawTable, named: Fields) -> Fault:
    have, lack = ("positive", "negative") if "positive" in named else ("negative", "positive")
    title = f"{table.name} is given the {have} side of its pairs and no {lack} side"
    return Fault("D514", title, f'add `{lack}: "…"`, or write `field:` for a data set without pairs')


def _no_prompt(table: RawTable) -> Fault:
    title = f"{table.name} has none of the usual fields {', '.join(USUAL)}"
    found = likely.prompt_field(table)
    if found is not None:
        return Fault("D508", title, f'say which one holds the prompt: `field: "{found}"`')
    known = ", ".join(name or '""' for name in names(table)[:LISTED])
    return Fault("D508", title, f"its fields are {known}, and none of them holds text that asks: add one that does")


def _absent(table: RawTable, field: str) -> Fault:
    known = names(table)
    near = nearest(field, known)
    help = f'did you mean "{near}"?' if near else f"its fields are {', '.join(known)}"
    return Fault("D508", f'{table.name} has no field "{field}"', help)


def _repeated(table: RawTable, field: str) -> Fault:
    title = f'{table.name} has several columns called "{field}"'
    return Fault("D507", title, "give each column that you use a name of its own")


def _repeats(table: RawTable, rows: list[DataRow]) -> list[Fault]:
    seen: dict[tuple[Any, ...], int] = {}
    faults = []
    for row in rows:
        line = _line(table, row)
        first = seen.setdefault((row.tidy, row.answer, row.choices), line)
        if first != line:
            title = f"{table.at(line)} repeats {table.unit} {first}"
            faults.append(Fault("D513", title, "a repeated row counts twice in every mean", line, "warning"))
    return faults


def _line(table: RawTable, row: DataRow) -> int:
    record: RawRow = table.records[row.index]
    return record.line
