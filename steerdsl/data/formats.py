"""From a file's bytes to records, by its ending.

In: bytes and the name that messages print. Out: a `RawTable` and the faults of every line. A new
format is one function and its line in `TEXTS`, or in `BINARY` where the bytes are no text.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType

from steerdsl.data.faults import Fault
from steerdsl.data.json_tables import json_table, jsonl
from steerdsl.data.parquet_tables import parquet
from steerdsl.data.separated import CellTable, csv_table, tsv_table
from steerdsl.data.types import MOST_ROWS, RawRow, RawTable, too_many

Read = tuple[RawTable, list[Fault]]
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def parse(raw: bytes, name: str, columns: Sequence[str] = ()) -> Read:
    """Read a file by its ending; blank lines are ignored. A text is UTF-8, or UTF-16 where it begins with the byte
    order mark of that, as spreadsheets save it. `columns` are the names of a table's columns where its first row is
    not these.

    Faults: D503 unknown ending, D504 not UTF-8, D505 no rows, D506 bad JSON, D507 a ragged table, D530 too many rows
    or fields, D540 no rows in JSON, D542 parquet that cannot be read.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in READABLE:
        return RawTable(name, ()), [_unknown(name)]
    table, faults = BINARY[suffix](raw, name) if suffix in BINARY else _text(raw, name, suffix, columns)
    if not table.records and not faults:
        faults = [Fault("D505", f"{name} holds no rows", "a data set needs at least one row")]
    return table, faults


def _text(raw: bytes, name: str, suffix: str, columns: Sequence[str]) -> Read:
    try:
        text = raw.decode("utf-16" if raw.startswith(UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        help = "save the file as UTF-8"
        return RawTable(name, ()), [Fault("D504", f"line {line} of {name} is not UTF-8", help, line)]
    if text.count("\n") >= MOST_ROWS:
        return RawTable(name, ()), [too_many(name, "lines", MOST_ROWS)]
    if suffix in TABLES:
        made = TABLES[suffix](text, name, columns)
        return RawTable(name, tuple(made.records), repeated=made.repeated), made.faults
    return TEXTS[suffix](text, name)


def _lines(text: str, name: str) -> Read:
    records, faults = jsonl(text, name)
    return RawTable(name, tuple(records)), faults


def txt(text: str, name: str) -> Read:
    """One prompt a line, in a field called `text`."""
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    rows = [RawRow(number, {"text": line}) for number, line in enumerate(lines, 1) if line.strip()]
    return RawTable(name, tuple(rows)), []


TEXTS: Mapping[str, Callable[[str, str], Read]] = MappingProxyType({".jsonl": _lines, ".json": json_table, ".txt": txt})
TABLES: Mapping[str, Callable[[str, str, Sequence[str]], CellTable]] = MappingProxyType(
    {".csv": csv_table, ".tsv": tsv_table}
)
BINARY: Mapping[str, Callable[[bytes, str], Read]] = MappingProxyType({".parquet": parquet})
READABLE = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet")


def _unknown(name: str) -> Fault:
    suffix = PurePath(name).suffix
    what = f"a {suffix} file" if suffix else "a file without an ending"
    return Fault("D503", f"{name} is {what}, which cannot be read as data", f"save it as {', '.join(READABLE)}")
