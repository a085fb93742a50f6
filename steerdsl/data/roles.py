"""From records to rows: which field of a file is the prompt, the answer, the two sides of a pair.

In: a `RawTable` and the fields that the recipe names. Out: rows, the fields in force for each role,
and the faults of every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steerdsl.data import likely
from steerdsl.data.faults import Fault
from steerdsl.data.formats import kind_of
from steerdsl.data.types import DataRow, RawRow, RawTable
from steerdsl.lang.diagnostics import nearest

USUAL = ("prompt", "question", "text", "instruction", "goal")
LISTED = 12  # names of fields that a message lists


def assign(table: RawTable, named: Mapping[str, str]) -> tuple[Mapping[str, str], list[DataRow], list[Fault]]:
    """Give each field of `table` its role.

    A prompt that nobody named is the first of `USUAL` that the file has; pairs may do without one.
    Faults: D508 a field is missing, D509 it is not text, D510 it is empty, D514 half a pair;
    D513 (a warning) a row is repeated.
    """
    if ("positive" in named) != ("negative" in named):
        return named, [], [_half_pair(table, named)]
    fields = dict(named)
    if "prompt" not in fields:
        usual = next((field for field in USUAL if field in table.records[0].fields), None)
        if usual is not None:
            fields = {"prompt": usual, **fields}
        elif "positive" not in fields:
            return named, [], [_no_prompt(table)]
    absent = [field for field in fields.values() if not any(field in r.fields for r in table.records)]
    if absent:
        return fields, [], [_absent(table, field) for field in absent]
    rows: list[DataRow] = []
    faults: list[Fault] = []
    for index, record in enumerate(table.records):
        values: dict[str, Any] = {}
        for role, field in fields.items():
            value = _value(record, role, field, table)
            if isinstance(value, Fault):
                faults.append(value)
            else:
                values[role] = value
        if len(values) == len(fields):
            number = not isinstance(record.fields.get(fields.get("answer", ""), ""), str)
            rows.append(DataRow(index, **{"prompt": "", **values}, answer_is_number=number))
    return fields, rows, faults or _repeats(table, rows)


def _value(record: RawRow, role: str, field: str, table: RawTable) -> str | tuple[str, ...] | Fault:
    where = table.at(record.line)
    if field not in record.fields:
        help = "give every row the same fields"
        return Fault("D508", f'{where} has no field "{field}"', help, record.line)
    value = record.fields[field]
    if role == "choices" and isinstance(value, list) and value:
        faults = [fault for item in value if (fault := _text_fault(item, where, field, record.line))]
        return faults[0] if faults else tuple(value)
    if role == "choices":
        title = f'{where}: field "{field}" holds {kind_of(value)}, not a list of texts'
        return Fault("D509", title, 'write the options as ["…", "…"]', record.line)
    if role == "answer" and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return _text_fault(value, where, field, record.line) or value


def _text_fault(value: Any, where: str, field: str, line: int) -> Fault | None:
    if not isinstance(value, str):
        title = f'{where}: field "{field}" holds {kind_of(value)}, not text'
        help = "put the value in double quotes, or name another field"
        if likely.is_chat(value):
            help = 'it is a conversation: write what the user says in a separate field, {"prompt": "…"}'
        elif isinstance(value, list | dict):
            help = "write one text, or name another field"
        return Fault("D509", title, help, line)
    if not value.strip():
        return Fault("D510", f'{where}: field "{field}" is empty', "fill it in or take the row out", line)
    try:
        value.encode()
    except UnicodeEncodeError:
        title = f'{where}: field "{field}" holds half a character (an escape such as \\ud83d alone)'
        return Fault("D509", title, "write both halves of the escape, or the character itself", line)
    return None


def _half_pair(table: RawTable, named: Mapping[str, str]) -> Fault:
    have, lack = ("positive", "negative") if "positive" in named else ("negative", "positive")
    title = f"{table.name} is given the {have} side of its pairs and no {lack} side"
    return Fault("D514", title, f'add `{lack}: "…"`, or write `field:` for a data set without pairs')


def _no_prompt(table: RawTable) -> Fault:
    title = f"{table.name} has none of the usual fields {', '.join(USUAL)}"
    found = likely.prompt_field(table)
    if found is not None:
        return Fault("D508", title, f'say which one holds the prompt: `field: "{found}"`')
    if any(likely.is_chat(value) for value in table.records[0].fields.values()):
        help = 'it holds conversations: write what the user says in a separate field, {"prompt": "…"}'
        return Fault("D508", title, help)
    known = ", ".join(name or '""' for name in _names(table)[:LISTED])
    return Fault("D508", title, f"its fields are {known}, and none of them holds text that asks: add one that does")


def _absent(table: RawTable, field: str) -> Fault:
    known = _names(table)
    near = nearest(field, known)
    help = f'did you mean "{near}"?' if near else f"its fields are {', '.join(known)}"
    return Fault("D508", f'{table.name} has no field "{field}"', help)


def _names(table: RawTable) -> list[str]:
    return list(dict.fromkeys(name for record in table.records for name in record.fields))


def _repeats(table: RawTable, rows: list[DataRow]) -> list[Fault]:
    seen: dict[tuple[Any, ...], int] = {}
    faults = []
    for row in rows:
        line = table.records[row.index].line
        first = seen.setdefault((row.tidy, row.answer, row.choices), line)
        if first != line:
            title = f"{table.at(line)} repeats {table.unit} {first}"
            faults.append(Fault("D513", title, "a repeated row counts twice in every mean", line, "warning"))
    return faults
