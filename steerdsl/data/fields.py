"""A row's fields by name, those inside an object too: `field: "data.question"`.

In: the fields of a row. Out: values, and the names that there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from steerdsl.data.types import RawRow, RawTable

ABSENT: Any = object()


def pick(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field; of `a.b` where there is no field of that name, what the object `a` has as `b`, and of
    `a.0` the first item of the list `a`. ABSENT where there is none."""
    if name in fields:
        return fields[name]
    dots = [i for i, sign in enumerate(name) if sign == "."]
    inner = (_part(fields.get(name[:i]), name[i + 1 :]) for i in dots)
    return next((value for value in inner if value is not ABSENT), ABSENT)


def _part(whole: Any, part: str) -> Any:
    if isinstance(whole, Mapping):
        return whole.get(part, ABSENT)
    number = int(part) if part.isdecimal() and len(part) < 6 else -1
    return whole[number] if isinstance(whole, list) and 0 <= number < len(whole) else ABSENT


def names(table: RawTable) -> list[str]:
    """The names of all fields, those of objects as `a.b`."""
    return list(dict.fromkeys(name for record in table.records for name in _names(record.fields)))


def _names(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{part}" for part in value)
        else:
            yield name


def reaching(records: Iterable[RawRow], used: Iterable[str]) -> list[tuple[int, RawRow]]:
    """Of rows that are made of columns of several lengths those that a used column reaches, with their places."""
    wanted = tuple(used)
    return [(i, r) for i, r in enumerate(records) if any(pick(r.fields, name) is not ABSENT for name in wanted)]
