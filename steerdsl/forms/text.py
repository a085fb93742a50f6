"""JSON that somebody else may have written, as plain values.

In: bytes. Out: what they say, where everything in it can be written again: text without halves of a character,
finite numbers of a size that programs share, brackets no deeper than passes that recurse may go. Raises
`Misread`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from steerdsl.forms.files import LARGEST, Misread, read_bytes
from steerdsl.forms.form import misfit

Pairs = Callable[[list[tuple[str, Any]]], dict[str, Any]]
DEEPEST = 60  # brackets in brackets; a record has 8
# Each `[` or `{` takes some hundred bytes of memory and two of the file.
MOST_CONTAINERS = 2_000_000
MOST_LINES = 2_000_000
_PLAIN = (str, int, float, bool, type(None), list, dict)
_WHOLE = 1 << 63
_DIGITS = 320  # of a number; a float has at most 17 that matter
_HALF = re.compile(r"[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(path: Path, form: Any = object, *, most: int = LARGEST, within: Path | None = None) -> Any:
    """The value of a JSON file that has `form`; see `read_bytes` for `most` and `within`."""
    return parse_json(read_bytes(path, most, within), form, path.name)


def read_lines(path: Path, form: Any = object, *, most: int = LARGEST, within: Path | None = None) -> list[Any]:
    """The values of a file of JSON lines, each of `form`. Only a line feed ends one: an answer may hold other
    separators."""
    return parse_lines(read_bytes(path, most, within), form, path.name)


def parse_json(
    data: bytes | str, form: Any = object, name: str = "it", *, finite: bool = True, pairs: Pairs | None = None
) -> Any:
    """The value of a JSON text called `name`. Without `finite`, NaN and infinities are numbers too. `pairs` makes an
    object of its fields, where it is to see those that are given twice."""
    text = _decoded(data, name)
    _require_few(text, name)
    return _checked(text, form, name, "", finite, pairs)


def parse_lines(data: bytes | str, form: Any = object, name: str = "it") -> list[Any]:
    """The values of JSON lines."""
    text = _decoded(data, name)
    _require_few(text, name)
    if text.count("\n") > MOST_LINES:
        raise Misread(f"{name} has more than {MOST_LINES:,} lines")
    lines = text.split("\n")
    return [_checked(line, form, name, f"line {i} of ", True) for i, line in enumerate(lines, 1) if line]


def _decoded(data: bytes | str, name: str) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Misread(f"{name} is not UTF-8 at byte {error.start}") from error


def _require_few(text: str, name: str) -> None:
    """Refuse a text that takes far more memory than it has bytes."""
    if text.count("[") + text.count("{") > MOST_CONTAINERS:
        raise Misread(f"{name} has more than {MOST_CONTAINERS:,} lists and objects")


def _checked(text: str, form: Any, name: str, line: str, finite: bool, pairs: Pairs | None = None) -> Any:
    place = f"{line}{name}"
    try:
        value = json.loads(text, object_pairs_hook=pairs, **(_FINITE if finite else _ANY))
    except json.JSONDecodeError as error:
        where = f"at line {error.lineno}, column {error.colno}"
        raise Misread(f"{place} is not JSON: {error.msg.lower()} {where}") from error
    except RecursionError as error:
        raise Misread(f"{place} is nested too deeply") from error
    except ValueError as error:
        raise Misread(f"{place} has a number that {error}") from error
    if _deeper(value, DEEPEST):
        raise Misread(f"{place} is nested more than {DEEPEST} deep")
    if _ESCAPED_HALF.search(text) and _HALF.search(json.dumps(value, ensure_ascii=False)):
        raise Misread(f"{place} has half of a character: a surrogate without its other one")
    require(value, form, place)
    return value


def require(value: Any, form: Any, name: str) -> None:
    """Raise `Misread` where a value that was read from `name` does not have `form`."""
    if (wrong := misfit(value, form)) is not None:
        raise Misread(f"{name} has a wrong form: {wrong}")


def _deeper(value: Any, most: int) -> bool:
    """Whether there are more than `most` containers in each other. Level by level: it does not recurse."""
    level = [value]
    for _ in range(most):
        level = [x for v in level if type(v) in (dict, list) for x in (v.values() if type(v) is dict else v)]
        level = [x for x in level if type(x) in (dict, list)]
        if not level:
            return False
    return True


def require_plain(value: Any, name: str, most: int = 100_000) -> None:
    """Raise `Misread` where a value that was not read as JSON is not what JSON can say: it holds itself, more than
    `most` values, names that are not text, dates or bytes."""
    level, seen = [value], 0
    for _ in range(DEEPEST):
        seen += len(level)
        if seen > most:
            raise Misread(f"{name} has more than {most:,} values")
        for part in level:
            names = part if type(part) is dict else ()
            if type(part) not in _PLAIN or not all(type(key) is str for key in names):
                raise Misread(f"{name} has a value that is neither text, number, list nor object")
            if any(_HALF.search(text) for text in ([part] if type(part) is str else names)):
                raise Misread(f"{name} has half of a character: a surrogate without its other one")
        level = [x for v in level if type(v) in (dict, list) for x in (v.values() if type(v) is dict else v)]
        if not level:
            return
    raise Misread(f"{name} is nested more than {DEEPEST} deep")


def _whole(text: str) -> int:
    if len(text) > 20 or not -_WHOLE <= int(text) < _WHOLE:
        raise ValueError("is beyond 64 bits")
    return int(text)


def _number(text: str) -> float:
    if len(text) > _DIGITS or not math.isfinite(float(text)):
        raise ValueError("is beyond what a float holds")
    return float(text)


def _no_constant(text: str) -> float:
    raise ValueError(f"is {text}")


# How json.loads is to read numbers.
_FINITE: Mapping[str, Any] = {"parse_int": _whole, "parse_float": _number, "parse_constant": _no_constant}
_ANY: Mapping[str, Any] = {"parse_int": _whole}
