"""Which option of a multiple choice a data set says is right, in one form for all its rows.

In: rows with options and a right answer, and the form that the recipe declares, if any. Out: the form in
force and the right option of each row, or what keeps them from being read. A form is never chosen row by
row: "1" may be a letter's place, a text or a number, and only the other rows tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase
from types import MappingProxyType

from steerdsl.data.types import DataRow
from steerdsl.lang.lower.phrases import either

_LABEL = re.compile(r"\s*\(?([A-Za-z])\s?[).:]\s*")
_LETTER = re.compile(r"\(?([A-Za-z])[).:]?")


def options(choices: Sequence[str]) -> tuple[str, ...]:
    """The options without letters of their own: `A)5 km`, `B)6 km` are `5 km`, `6 km`."""
    labels = [_LABEL.match(text) for text in choices]
    if any(found is None or found[1].upper() != ascii_uppercase[i] for i, found in enumerate(labels)):
        return tuple(text.strip() for text in choices)
    return tuple(text[found.end() :].strip() for text, found in zip(choices, labels, strict=True) if found)


def letters(choices: Sequence[str]) -> str:
    """The letters of so many options."""
    return ascii_uppercase[: len(choices)]


def _by_letter(row: DataRow) -> int | None:
    found = None if row.answer_is_number else _LETTER.fullmatch(_said(row))
    place = letters(row.choices).find(found[1].upper()) if found else -1
    return place if place >= 0 else None


def _by_text(row: DataRow) -> int | None:
    """The only option that is the answer word for word; a JSON number is not text."""
    if row.answer_is_number:
        return None
    known = options(row.choices)
    whole = [i for i, choice in enumerate(row.choices) if _said(row) in (choice.strip(), known[i])]
    return whole[0] if len(whole) == 1 else None


def _by_number(row: DataRow, first: int) -> int | None:
    said = _said(row)
    if row.answer_is_number:
        said = said.removesuffix(".0")  # as tables write whole numbers in a column that has gaps
    if not (said.isascii() and said.isdecimal() and len(said) <= 3):
        return None
    place = int(said) - first
    return place if 0 <= place < len(row.choices) else None


def _said(row: DataRow) -> str:
    return (row.answer or "").strip()


FORMS: Mapping[str, Callable[[DataRow], int | None]] = MappingProxyType(
    {
        "letter": _by_letter,
        "text": _by_text,
        "index_from_0": lambda row: _by_number(row, 0),
        "index_from_1": lambda row: _by_number(row, 1),
    }
)
MEANING: Mapping[str, str] = MappingProxyType(
    {
        "letter": "by its letter",
        "text": "by its text",
        "index_from_0": "by its number, counted from 0",
        "index_from_1": "by its number, counted from 1",
    }
)


def problem(row: DataRow, form: str | None = None) -> str | None:
    """Why a row cannot be asked, or None; without `form`, why no form reads it."""
    if not 2 <= len(row.choices) <= len(ascii_uppercase):
        return f"has {len(row.choices)} options" if row.choices else "has no options"
    if row.answer is None:
        return "has no right answer"
    if all(read(row) is None for name, read in FORMS.items() if form in (None, name)):
        how = "" if form is None else f", read as `{form}`"
        return f'has the answer "{row.answer}", which is none of its {len(row.choices)} options{how}'
    return None


def fitting(rows: Sequence[DataRow]) -> tuple[str, ...]:
    """The forms that read every row, one of each kind: of forms that name the same option in every row, the
    first. Rows that no form reads decide nothing; they are a fault where they are asked (`problem`)."""
    kept: dict[tuple[int | None, ...], str] = {}
    readable = [row for row in rows if problem(row) is None]
    for name, read in FORMS.items():
        found = tuple(read(row) for row in readable)
        if found and None not in found:
            kept.setdefault(found, name)
    return tuple(kept.values())


def form_of(rows: Sequence[DataRow], declared: str | None) -> str | None:
    """The form of a data set's answers: the declared one, else the only one that fits; None where none does,
    or several do."""
    forms = fitting(rows) if declared is None else (declared,)
    return forms[0] if len(forms) == 1 else None


def undecided(rows: Sequence[DataRow]) -> tuple[str, tuple[str, ...], str]:
    """Why no single form fits these rows: the predicate of a title, notes, and a way out."""
    forms = fitting(rows)
    if forms:
        row = next(row for row in rows if problem(row) is None and len({FORMS[form](row) for form in forms}) > 1)
        means = [f"{MEANING[form]}, {letters(row.choices)[FORMS[form](row) or 0]}" for form in forms]
        title = f"name the right answer in a way that can be read {len(forms)} ways"
        notes = (f'row {row.index + 1} says "{row.answer}": ' + ", or ".join(means),)
        return title, notes, f"say which is meant: {either(f'answer_form: {form}' for form in forms)}"
    readable = [row for row in rows if problem(row) is None]
    unlike = {name: next(row for row in readable if read(row) is None) for name, read in FORMS.items()}
    cannot = tuple(f'{MEANING[name]}: not row {row.index + 1}, "{row.answer}"' for name, row in unlike.items())
    return "name the right answer now in one way, now in another", cannot, "write all answers in one form"
