"""Rows from JSON: one object a line, a list of objects or texts, or an object of lists.

In: the text of a file. Out: its records and the faults of its rows. An object of lists is a table by columns, which
need not have one length: a row has the fields whose lists reach so far.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from steerdsl.data.faults import Fault
from steerdsl.data.types import MOST_FIELDS, MOST_ROWS, RawRow, RawTable, kind_of, too_many
from steerdsl.forms.files import Misread
from steerdsl.forms.text import MOST_CONTAINERS, Pairs, parse_json

Read = tuple[list[RawRow], list[Fault]]
ROWS = 'write a list of objects, [{"prompt": "…"}]; pandas does by `orient="records"`'


def jsonl(text: str, name: str) -> Read:
    """One JSON object a line."""
    records: list[RawRow] = []
    faults: list[Fault] = []
    # Not splitlines: U+2028 and its like may be inside a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        found = _json_object(line)
        if isinstance(found, dict) and len(found) > MOST_FIELDS:
            return [], [too_many(name, f"fields in line {number}", MOST_FIELDS)]
        if isinstance(found, str):
            title, help = f"line {number} of {name} {found}", 'write one object a line: {"prompt": "…"}'
            faults.append(Fault("D506", title, help, number))
        else:
            records.append(RawRow(number, found))
    return records, faults


def json_table(text: str, name: str) -> tuple[RawTable, list[Fault]]:
    """A whole file of JSON. A file of JSON lines that is called .json is read as such."""
    if text.count("[") + text.count("{") > MOST_CONTAINERS:
        return RawTable(name, ()), [too_many(name, "lists and objects", MOST_CONTAINERS)]
    fields, twice = _noting()
    try:
        value = parse_json(text, name=name, finite=False, pairs=fields)
    except Misread as error:
        first = text.lstrip().partition("\n")[0]
        if not isinstance(_json_object(first), str):
            records, faults = jsonl(text, name)
            return RawTable(name, tuple(records)), faults
        return RawTable(name, ()), [Fault("D506", str(error), "look for a missing comma, quote or bracket")]
    if twice:
        title = f'{name} gives the field "{twice[0]}" twice in one object'
        return RawTable(name, ()), [Fault("D506", title, "keep one of them")]
    if isinstance(value, list):
        records, faults = _rows(value, name)
        return RawTable(name, tuple(records), "row"), faults
    if isinstance(value, dict) and any(isinstance(part, list) for part in value.values()):
        records, faults = _columns({key: part for key, part in value.items() if isinstance(part, list)}, name)
        return RawTable(name, tuple(records), "row", by_column=True), faults
    said = "an object without a list" if isinstance(value, dict) else kind_of(value)
    return RawTable(name, ()), [Fault("D540", f"{name} is {said}, and no rows can be read from it", ROWS)]


def _rows(found: list[Any], name: str) -> Read:
    """The rows of a list: objects, or texts, which are prompts."""
    if len(found) > MOST_ROWS:
        return [], [too_many(name, "rows", MOST_ROWS)]
    records: list[RawRow] = []
    faults: list[Fault] = []
    texts = bool(found) and all(isinstance(row, str) for row in found)
    for number, row in enumerate(found, 1):
        if texts:
            records.append(RawRow(number, {"text": row}))
        elif not isinstance(row, dict):
            title = f"row {number} of {name} is {kind_of(row)}, not an object"
            faults.append(Fault("D506", title, ROWS, number))
        elif len(row) > MOST_FIELDS:
            return [], [too_many(name, f"fields in row {number}", MOST_FIELDS)]
        else:
            records.append(RawRow(number, row))
    return records, faults


def _columns(columns: dict[str, list[Any]], name: str) -> Read:
    if len(columns) > MOST_FIELDS:
        return [], [too_many(name, "columns", MOST_FIELDS)]
    length = max(map(len, columns.values()))
    if length > MOST_ROWS:
        return [], [too_many(name, "rows", MOST_ROWS)]
    rows = ({key: column[i] for key, column in columns.items() if i < len(column)} for i in range(length))
    return [RawRow(number, row) for number, row in enumerate(rows, 1)], []


def _json_object(line: str) -> dict[str, Any] | str:
    """The object, or what is wrong with the line."""
    fields, twice = _noting()
    try:
        found = json.loads(line, object_pairs_hook=fields)
    except json.JSONDecodeError as error:
        return f"is not JSON: {error.msg.lower()} at column {error.colno}"
    except (ValueError, RecursionError):
        return "is not JSON that can be read: a number too long or brackets too deep"
    if isinstance(found, dict) and any("\ud800" <= c <= "\udfff" for name in found for c in name):
        return "has half a character in the name of a field (an escape such as \\ud83d alone)"
    if twice:
        return f'gives the field "{twice[0]}" twice'
    return found if isinstance(found, dict) else f"is {kind_of(found)}, not an object"


def _noting() -> tuple[Pairs, list[str]]:
    """What makes an object of its fields, and a list that gets the names of those that are given twice. As a csv file's
    columns, each field has one value; JSON would take the last of two."""
    twice: list[str] = []

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return found

    return fields, twice
