"""The form of a value that was read: what must be in it before anything else looks at it.

In: plain values as JSON has them, and a form. Out: the path of the first value that does not fit, what it is and
what was expected, in words; None where all fits.

A form is a type (`str`, `bool`, `int` for whole numbers, `float` for any number, `None`, `object` for anything),
a union of these, a compiled pattern for text, a `range` of whole numbers, an object by its names (`EACH` stands
for every other name), `[form]` for a list of any length, `(form, form)` for a list of just these, `Maybe` for a
name that may be absent, `Either` for one of several kinds of value, `By` for a form that depends on the value,
`Such` for a form with a condition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, get_args

EACH = "*"
LONGEST_SHOWN = 60  # characters of a name that a message repeats
_ABSENT = object()
_NAMES: Mapping[type, str] = {
    **{str: "text", bool: "true or false", int: "a whole number", float: "a number", NoneType: "null"},
    **{list: "a list", dict: "an object", object: "anything"},
}
_TYPES: Mapping[type, frozenset[type]] = {
    **{kind: frozenset((kind,)) for kind in (str, bool, int, NoneType, list, dict)},
    float: frozenset((int, float)),
}


@dataclass(frozen=True, slots=True)
class Maybe:
    """What a name holds that may be absent: older versions did not write it."""

    form: Any


@dataclass(frozen=True, slots=True)
class Either:
    """One of several forms: the first whose kind is that of the value."""

    forms: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class By:
    """The form that `choose` finds for any value: one of `forms`."""

    choose: Callable[[Any], Any]
    forms: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Such:
    """A value of `form` that `holds`; `what` says in words what it must be."""

    form: Any
    holds: Callable[[Any], bool]
    what: str


def misfit(value: Any, form: Any, place: str = "") -> str | None:
    """Where and how `value` does not have `form`, as in `plan.steps[0].key` is a list, not text or null."""
    if isinstance(form, Maybe):
        return None if value is _ABSENT else misfit(value, form.form, place)
    if isinstance(form, By):
        return misfit(value, form.choose(value), place)
    if isinstance(form, Such):
        wrong = misfit(value, form.form, place)
        return wrong if wrong is not None or form.holds(value) else f"{_named(place)} is not {form.what}"
    if isinstance(form, Either):
        form = next((one for one in form.forms if _kind_of(one) is type(value)), form)
    if isinstance(form, Mapping) and isinstance(value, dict):
        return _first(_in_object(value, form, place))
    if isinstance(form, list) and isinstance(value, list):
        if (kinds := _plain(form[0])) is not None and set(map(type, value)) <= kinds:
            return None  # thousands of tokens at once
        return _first((part, form[0], f"{place}[{i}]") for i, part in enumerate(value))
    if isinstance(form, tuple) and isinstance(value, list) and len(value) == len(form):
        return _first((part, one, f"{place}[{i}]") for i, (part, one) in enumerate(zip(value, form, strict=True)))
    return None if _fits(value, form) else _said(value, form, place)


def _first(parts: Iterator[tuple[Any, Any, str]]) -> str | None:
    return next((wrong for part in parts if (wrong := misfit(*part)) is not None), None)


def _in_object(value: Mapping[str, Any], form: Mapping[str, Any], place: str) -> Iterator[tuple[Any, Any, str]]:
    """Each name that the form or the value has, with its form."""
    yield from ((value.get(name, _ABSENT), one, f"{place}.{name}") for name, one in form.items() if name != EACH)
    if EACH in form:
        yield from ((part, form[EACH], f"{place}.{name}") for name, part in value.items() if name not in form)


def _fits(value: Any, form: Any) -> bool:
    if isinstance(form, re.Pattern):
        return isinstance(value, str) and form.fullmatch(value) is not None
    if isinstance(form, range):
        return type(value) is int and value in form
    kinds = _plain(form)
    if kinds is None:
        return form is object and value is not _ABSENT
    return type(value) in kinds


def _plain(form: Any) -> frozenset[type] | None:
    """The types that a form of types alone allows; None for other forms."""
    if isinstance(form, UnionType):
        return frozenset[type]().union(*(_TYPES[one] for one in get_args(form)))
    form = NoneType if form is None else form
    return _TYPES.get(form) if isinstance(form, type) else None


def _kind_of(form: Any) -> type | None:
    """The type of the values that a form is about."""
    if isinstance(form, Such):
        return _kind_of(form.form)
    if isinstance(form, Mapping):
        return dict
    if isinstance(form, list | tuple):
        return list
    if isinstance(form, range | re.Pattern):
        return int if isinstance(form, range) else str
    return NoneType if form is None else form if isinstance(form, type) else None


def _said(value: Any, form: Any, place: str) -> str:
    if value is _ABSENT:
        return f"{_named(place)} is missing"
    found = _NAMES[type(value)]
    expected = _expected(form)
    if isinstance(form, tuple) and isinstance(value, list):
        return f"{_named(place)} has {len(value)} items, not {len(form)}"
    if isinstance(form, re.Pattern | range) and found in expected:
        return f"{_named(place)} is not {expected}"
    return f"{_named(place)} is {found}, not {expected}"


def _expected(form: Any) -> str:
    if isinstance(form, UnionType):
        if len(get_args(form)) > 3:
            return "a single value"
        return " or ".join(_NAMES[one] for one in get_args(form))
    if isinstance(form, Either):
        return " or ".join(map(_expected, form.forms))
    if isinstance(form, re.Pattern):
        return f"text like {form.pattern}"
    if isinstance(form, range):
        return f"a whole number from {form.start} to {form.stop - 1}"
    if isinstance(form, Such):
        return form.what
    kind = _kind_of(form)
    return _NAMES.get(kind, "anything") if kind is not None else "anything"


def _named(place: str) -> str:
    """A path as a message has it, its middle left out where a stranger's names are long."""
    path = place.removeprefix(".")
    if len(path) > LONGEST_SHOWN:
        path = f"{path[: LONGEST_SHOWN // 2]}…{path[-LONGEST_SHOWN // 2 :]}"
    return f"`{path}`" if path else "it"
