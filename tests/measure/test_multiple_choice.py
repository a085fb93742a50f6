"""Multiple choice: what is shown, which answer is right, which letter wins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.metrics import multiple_choice as mc

RECIPES = Path(__file__).parents[2] / "recipes"


def test_the_prompt_is_the_one_of_lm_evaluation_harness() -> None:
    assert (
        mc.prompt(" To close a gap ", ["cut", "raise", "hold"]) == "To close a gap\nA. cut\nB. raise\nC. hold\nAnswer:"
    )
    asked = mc.prompt("Q", ["x", "y"], "instruction").splitlines()
    assert asked == ["Q", "A. x", "B. y", "Answer with the letter of the right option and nothing else."]


def test_letters_that_options_bring_along_are_not_doubled() -> None:
    assert mc.options(["A)5 km", "B)6 km"]) == ("5 km", "6 km")
    assert mc.options(["(a) one", "(b) two"]) == ("one", "two")
    assert mc.options(["A. one", "C. two"]) == ("A. one", "C. two")  # not letters of theirs
    assert mc.options(["A) one", "two"]) == ("A) one", "two")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("B", 1),
        ("(b)", 1),
        ("C.", 2),
        ("8", 2),
        ("B)7", 1),
        ("0", 0),
        ("2", 2),
        ("3", None),
        ("E", None),
        ("five", None),
    ],
)
def test_a_letter_a_text_or_a_number_names_the_right_option(answer: str, found: int | None) -> None:
    assert mc.right(answer, ["A)6", "B)7", "C)8"]) == found


def test_a_text_wins_over_a_number() -> None:
    assert mc.right("1", ["0", "2", "1"]) == 2


def test_what_is_wrong_with_a_row() -> None:
    assert mc.problem("A", ["x", "y"]) is None
    assert mc.problem("A", []) == "has no options"
    assert mc.problem("A", ["x"]) == "has 1 options"
    assert mc.problem(None, ["x", "y"]) == "has no right answer"
    assert mc.problem("C", ["x", "y"]) == 'has the answer "C", which is none of its 2 options'


def test_the_likeliest_letter_counts_in_the_form_that_is_asked_for() -> None:
    read = {
        "letters answer": [np.log([0.1, 0.6, 0.3]), np.log([0.5, 0.5])],
        "letters instruction": [np.log([0.7, 0.2, 0.1]), np.log([0.1, 0.9])],
    }
    given = Answers(
        ["p", "q"], [], golds=["B", "second"], choices=[("u", "v", "w"), ("first", "second")], logprobs=read
    )
    assert mc.run(given) == Figures([1.0, 0.0], mean="rate")
    assert mc.run(given, form="instruction") == Figures([0.0, 1.0], mean="rate")


def test_every_row_of_mmlu_can_be_asked() -> None:
    files = sorted((RECIPES / "data").glob("mmlu_*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 60
    assert [row for row in rows if mc.problem(row["answer"], row["choices"])] == []


def test_a_row_of_aqua() -> None:
    options = ["A)$61", "B)$65", "C)$67.40", "D)$70", "E)$78.20"]
    assert mc.prompt("What was the price?", options).splitlines()[1:4] == ["A. $61", "B. $65", "C. $67.40"]
    assert mc.right("E", options) == 4 and mc.letters(options) == "ABCDE"
