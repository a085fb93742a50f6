"""Tables of separated cells: csv with commas, semicolons or tabs, and tsv.

In: the text of a file. Out: its records, the columns whose names it repeats, and its faults. Which sign is between
the cells is seen from the file: commas, unless these do not make a table and another sign does.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from steerdsl.data.faults import Fault
from steerdsl.data.types import MOST_FIELDS, RawRow, too_many

SIGNS = {";": "semicolons", "\t": "tabs"}  # besides the comma
BARS = "|"
_SAID = re.compile(r"sep=(.)\r?\n")  # the first line by which a spreadsheet says its sign


@dataclass(slots=True)
class CellTable:
    records: list[RawRow] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    repeated: frozenset[str] = frozenset()
    width: int = 0  # cells of the header


def csv_table(text: str, name: str, columns: Sequence[str] = ()) -> CellTable:
    """Cells with commas, semicolons or tabs between them. A first line `sep=;` says which."""
    said = _SAID.match(text)
    if said:
        return _cells(text, name, said[1], columns, skip=1)
    found = _cells(text, name, ",", columns)
    if not found.faults and found.width > 1:
        return found
    others = [table for sign in SIGNS if (table := _cells(text, name, sign, columns)).width > 1]
    good = [table for table in others if not table.faults]
    if good or (found.width == 1 and others):  # no comma parts the names: the other sign's faults are the file's
        return (good or others)[0]
    if found.width == 1 and BARS in text.lstrip().partition("\n")[0]:
        help = "save it with commas between the cells"
        return CellTable(
            faults=[Fault("D507", f"the cells of {name} are separated by vertical bars, not by commas", help, 1)]
        )
    return found


def tsv_table(text: str, name: str, columns: Sequence[str] = ()) -> CellTable:
    """Cells with tabs between them. Quotes are read as in csv where the whole file allows it, else as they stand."""
    quoted = _cells(text, name, "\t", columns)
    if not quoted.faults:
        return quoted
    plain = _cells(text, name, "\t", columns, quoting=csv.QUOTE_NONE)
    return plain if not plain.faults else quoted


def _cells(
    text: str, name: str, sign: str, columns: Sequence[str], *, skip: int = 0, quoting: int = csv.QUOTE_MINIMAL
) -> CellTable:
    """The table that a sign makes of a text, without its first `skip` lines. The first row names the columns, or else
    `columns` do. Rows whose cells are all blank are blank lines, as a spreadsheet saves them; so are blank cells
    beyond the last column."""
    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # the file's own size is the bound
    stream = io.StringIO(text, newline="")
    for _ in range(skip):
        stream.readline()
    quotes = {} if quoting == csv.QUOTE_NONE else {"strict": True}
    reader = csv.reader(stream, delimiter=sign, quoting=quoting, **quotes)  # type: ignore[arg-type]
    made = CellTable()
    header = [column.strip() for column in columns]
    start = 1 + skip
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1 + skip
            if len(cells) > MOST_FIELDS:
                return CellTable(faults=[too_many(name, f"cells in line {line}", MOST_FIELDS)])
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                continue
            if len(cells) > len(header) and not any(cell.strip() for cell in cells[len(header) :]):
                cells = cells[: len(header)]
            if len(cells) != len(header):
                against = "`columns` names" if columns else "the header has"
                title = f"line {line} of {name} has {_count(len(cells))} where {against} {len(header)}"
                made.faults.append(Fault("D507", title, _quotes(sign), line))
            else:
                made.records.append(RawRow(line, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        help = "close every double quote, and write a quote inside a cell twice"
        made.faults.append(Fault("D507", f"line {start} of {name} is not csv: {error}", help, start))
    made.width = len(header)
    made.repeated = frozenset(cell for cell, count in Counter(header).items() if count > 1 and cell)
    return made


def _quotes(sign: str) -> str:
    what = {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(sign, f"`{sign}`")
    return f"put a cell that holds {what} in double quotes"


def _count(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
