"""From a file's bytes to records: jsonl, csv, txt.

In: bytes and the name that messages print. Out: a `RawTable` and the faults of every line. A new
format is one function here and its line in `READERS`.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from steerdsl.data.faults import Fault
from steerdsl.data.types import RawRow, RawTable

MOST_ROWS, MOST_FIELDS = 1_000_000, 1000
Read = tuple[list[RawRow], list[Fault]]


def parse(raw: bytes, name: str) -> tuple[RawTable, list[Fault]]:
    """Read a file by its ending; a byte order mark is ignored, and so are blank lines.

    Faults: D503 unknown ending, D504 not UTF-8, D505 no rows, D506 bad JSON, D507 a ragged csv,
    D530 too many rows or fields.
    """
    reader = READERS.get(PurePath(name).suffix.lower())
    if reader is None:
        return RawTable(name, ()), [_unknown(name)]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        help = "save the file as UTF-8"
        return RawTable(name, ()), [Fault("D504", f"line {line} of {name} is not UTF-8", help, line)]
    if text.count("\n") >= MOST_ROWS:
        return RawTable(name, ()), [_too_many(name, "lines", MOST_ROWS)]
    records, faults = reader(text, name)
    if not records and not faults:
        faults = [Fault("D505", f"{name} holds no rows", "a data set needs at least one row")]
    return RawTable(name, tuple(records)), faults


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
            return [], [_too_many(name, f"fields in line {number}", MOST_FIELDS)]
        if isinstance(found, str):
            title, help = f"line {number} of {name} {found}", 'write one object a line: {"prompt": "…"}'
            faults.append(Fault("D506", title, help, number))
        else:
            records.append(RawRow(number, found))
    return records, faults


def csv_table(text: str, name: str) -> Read:
    """Comma-separated cells, the first row names the columns; cells in double quotes may span lines. Rows whose
    cells are all blank are blank lines, as a spreadsheet saves them."""
    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # the file's own size is the bound
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: list[RawRow] = []
    faults: list[Fault] = []
    header: list[str] = []
    start = 1
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1
            if len(cells) > MOST_FIELDS:
                return [], [_too_many(name, f"cells in line {line}", MOST_FIELDS)]
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                if (other := _delimiter(header)) is not None:
                    help = "save it with commas between the cells"
                    title = f"the cells of {name} are separated by {other}, not by commas"
                    return [], [Fault("D507", title, help, line)]
                faults += _repeated(header, name, line)
            elif len(cells) != len(header):
                title = f"line {line} of {name} has {_cells(len(cells))} where the header has {len(header)}"
                faults.append(Fault("D507", title, "put a cell that holds a comma in double quotes", line))
            else:
                records.append(RawRow(line, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        help = "close every double quote, and write a quote inside a cell twice"
        faults.append(Fault("D507", f"line {start} of {name} is not csv: {error}", help, start))
    return records, faults


def txt(text: str, name: str) -> Read:
    """One prompt a line, in a field called `text`."""
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [RawRow(number, {"text": line}) for number, line in enumerate(lines, 1) if line.strip()], []


READERS: Mapping[str, Callable[[str, str], Read]] = MappingProxyType({".jsonl": jsonl, ".csv": csv_table, ".txt": txt})


def _json_object(line: str) -> dict[str, Any] | str:
    """The object, or what is wrong with the line."""
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        return f"is not JSON: {error.msg.lower()} at column {error.colno}"
    except (ValueError, RecursionError):
        return "is not JSON that can be read: a number too long or brackets too deep"
    if isinstance(found, dict) and any("\ud800" <= c <= "\udfff" for name in found for c in name):
        return "has half a character in the name of a field (an escape such as \\ud83d alone)"
    return found if isinstance(found, dict) else f"is {kind_of(found)}, not an object"


def kind_of(value: Any) -> str:
    """A JSON value's kind, as messages say it."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "null")


def _repeated(header: list[str], name: str, line: int) -> list[Fault]:
    twice = sorted(cell for cell, count in Counter(header).items() if count > 1)
    help = "give each column a different name"
    return [Fault("D507", f'{name} has several columns called "{cell}"', help, line) for cell in twice]


def _delimiter(header: list[str]) -> str | None:
    """What parts the names of a header that has no comma, as messages say it."""
    said = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
    return next((words for sign, words in said.items() if len(header) == 1 and sign in header[0]), None)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _too_many(name: str, what: str, most: int) -> Fault:
    title = f"{name} has more {what} than a data file may have: {most:,}"
    return Fault("D530", title, "keep the rows and fields that you use in a separate file")


def _unknown(name: str) -> Fault:
    suffix = PurePath(name).suffix
    what = f"a {suffix} file" if suffix else "a file without an ending"
    return Fault("D503", f"{name} is {what}, which cannot be read as data", f"save it as {', '.join(READERS)}")
