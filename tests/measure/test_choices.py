"""Which option is right: one form for a data set, by generation over forms, digits and kinds of value."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerdsl.data import DataRow
from steerdsl.measure import choices

NAMES = ("red", "green", "blue", "black", "white", "pink")


def row(answer: object, options: Sequence[str] = NAMES[:4], index: int = 0) -> DataRow:
    """A row as it is read from JSON, where numbers stay numbers."""
    number = isinstance(answer, int | float)
    said = None if answer is None else str(answer)
    return DataRow(index, "q", answer=said, choices=tuple(options), answer_is_number=number)


def said(form: str, place: int, options: Sequence[str], as_number: bool) -> object:
    """How a file of that form names the option at `place`."""
    if form == "letter":
        return "ABCDEF"[place]
    if form == "text":
        return options[place]
    found = place + (form == "index_from_1")
    return found if as_number else str(found)


@pytest.mark.parametrize("as_number", [False, True])
@pytest.mark.parametrize("form", choices.FORMS)
@given(places=st.lists(st.integers(0, 3), min_size=1, max_size=8), k=st.integers(4, 6))
def test_every_form_is_read_back_or_asked_for(form: str, as_number: bool, places: list[int], k: int) -> None:
    """Whatever rows a file of one form has: either that form is found, or the recipe is asked."""
    options = NAMES[:k]
    rows = [row(said(form, place, options, as_number), options, i) for i, place in enumerate(places)]
    found = choices.form_of(rows, None)
    clear = form in ("letter", "text") or (0 if form == "index_from_0" else k - 1) in places
    assert found == (form if clear else None)
    assert choices.form_of(rows, form) == form
    assert [choices.FORMS[form](r) for r in rows] == places
    if not clear:
        assert set(choices.fitting(rows)) == {"index_from_0", "index_from_1"}
        title, notes, help = choices.undecided(rows)
        assert title == "name the right answer in a way that can be read 2 ways"
        assert help == "say which is meant: `answer_form: index_from_0` or `answer_form: index_from_1`"
        assert notes[0].startswith(f'row 1 says "{rows[0].answer}": by its number, counted from 0, ')


@pytest.mark.parametrize("first", [0, 1])
def test_options_that_are_digits_are_texts_or_numbers_and_never_both(first: int) -> None:
    options = ("1", "2", "3", "4")
    numbers = [row(n, options) for n in range(first, first + 4)]
    assert choices.form_of(numbers, None) == f"index_from_{first}"  # a JSON number is no text
    texts = [row("1", options), row("4", options)]
    # "4" is no number from 0; the text and the number from 1 name the same option in every row.
    assert choices.fitting(texts) == ("text",)
    assert choices.fitting([row("1", options), row("3", options)]) == ("text", "index_from_0")
    assert choices.fitting([row("1", ("0", "2", "1"))]) == ("text", "index_from_0", "index_from_1")


@pytest.mark.parametrize(
    ("answer", "form", "place"),
    [
        ("B", "letter", 1),
        ("(b)", "letter", 1),
        ("C.", "letter", 2),
        ("8", "text", 2),
        ("B)7", "text", 1),
        (" 7 ", "text", 1),
        ("0", "index_from_0", 0),
        (2.0, "index_from_0", 2),
        (3, "index_from_1", 2),
        ("E", "letter", None),
        ("five", "text", None),
        (8, "text", None),
        (0, "index_from_1", None),
        (-1, "index_from_0", None),
        (1.5, "index_from_0", None),
        ("²", "index_from_0", None),
        ("٢", "index_from_0", None),
        ("9" * 5000, "index_from_0", None),
        (None, "letter", None),
    ],
)
def test_one_answer_in_one_form(answer: object, form: str, place: int | None) -> None:
    assert choices.FORMS[form](row(answer, ["A)6", "B)7", "C)8"])) == place


def test_an_option_that_stands_twice_is_not_named_by_its_text() -> None:
    assert choices.form_of([row("red", ("red", "red", "blue"))], None) is None
    assert choices.problem(row("red", ("red", "red", "blue"))) is not None


def test_rows_in_two_forms_are_refused_with_the_rows_that_do_not_fit() -> None:
    rows = [row("A", index=0), row("2", index=1), row("4", index=2), row("0", index=3)]
    assert choices.form_of(rows, None) is None
    title, notes, help = choices.undecided(rows)
    assert title == "name the right answer now in one way, now in another"
    assert notes[0] == 'by its letter: not row 2, "2"' and notes[3] == 'by its number, counted from 1: not row 1, "A"'
    assert help == "write all answers in one form"


def test_a_row_that_no_form_reads_decides_nothing() -> None:
    rows = [row("A"), row("no such option", index=1)]
    assert choices.form_of(rows, None) == "letter"
    assert choices.problem(rows[1], "letter") == (
        'has the answer "no such option", which is none of its 4 options, read as `letter`'
    )


def test_letters_that_options_bring_along_are_not_doubled() -> None:
    assert choices.options(["A)5 km", "B)6 km"]) == ("5 km", "6 km")
    assert choices.options(["(a) one", "(b) two"]) == ("one", "two")
    assert choices.options(["A. one", "C. two"]) == ("A. one", "C. two")  # not letters of theirs
    assert choices.options(["A) one", "two"]) == ("A) one", "two")


def test_what_is_wrong_with_a_row() -> None:
    assert choices.problem(row("A", ["x", "y"])) is None
    assert choices.problem(row("A", [])) == "has no options"
    assert choices.problem(row("A", ["x"])) == "has 1 options"
    assert choices.problem(row(None, ["x", "y"])) == "has no right answer"
    assert choices.problem(row("C", ["x", "y"])) == 'has the answer "C", which is none of its 2 options'
