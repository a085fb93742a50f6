"""Parquet files, by pyarrow where it is installed.

In: the bytes of a file. Out: its records, or the fault. What the file says of itself is not believed: rows, columns
and the bytes that they take are counted while they are read.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

from steerdsl.data.faults import Fault
from steerdsl.data.types import MOST_FIELDS, MOST_ROWS, RawRow, RawTable, too_many

MOST_BYTES = 1 << 30  # of the cells of a file, once they are unpacked
BATCH = 256  # rows that are unpacked at a time
FIRST_SAFE = 15  # the first major version of pyarrow that unpickles nothing in a file


def parquet(raw: bytes, name: str) -> tuple[RawTable, list[Fault]]:
    """The rows of a file. D542: pyarrow is missing, or the file is damaged; D530: it is too large."""
    nothing = RawTable(name, (), "row")
    if _installed() < FIRST_SAFE:
        help = "pip install 'steerdsl[parquet]', or save the data set as a jsonl file"
        title = f"reading {name} needs the package pyarrow, version {FIRST_SAFE} or later"
        return nothing, [Fault("D542", title, help)]
    import pyarrow
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped,unused-ignore]

    try:
        file = ParquetFile(io.BytesIO(raw))
        if file.metadata.num_rows > MOST_ROWS:
            return nothing, [too_many(name, "rows", MOST_ROWS)]
        if file.metadata.num_columns > MOST_FIELDS:
            return nothing, [too_many(name, "columns", MOST_FIELDS)]
        repeated = {column for column in file.schema_arrow.names if file.schema_arrow.names.count(column) > 1}
        records: list[RawRow] = []
        size = 0
        for batch in file.iter_batches(BATCH):
            size += batch.nbytes
            if size > MOST_BYTES:
                return nothing, [too_many(name, "bytes in its cells", MOST_BYTES)]
            rows = batch.select([c for c in dict.fromkeys(batch.schema.names) if c not in repeated]).to_pylist()
            records += [RawRow(len(records) + i, _plain(row)) for i, row in enumerate(rows, 1)]
    # Whatever is odd in a file raises one of these, and each means no data.
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError, MemoryError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        help = "save the data set once more, or as a jsonl file"
        return nothing, [Fault("D542", f"{name} cannot be read as parquet: {reason}", help)]
    return RawTable(name, tuple(records), "row", repeated=frozenset(repeated)), []


def _plain(value: Any) -> Any:
    """A value in the words of JSON, where it has such; else as it is, for a message to name its kind."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _installed() -> int:
    """The first number of the package's version; 0 when it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # late, since it is slow to import

    try:
        return int(version("pyarrow").partition(".")[0])
    except PackageNotFoundError:
        return 0
