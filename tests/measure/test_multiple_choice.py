"""Multiple choice: what is shown, which answer is right, which letter wins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from steerdsl.data import DataRow
from steerdsl.measure import choices
from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.metrics import multiple_choice as mc
from steerdsl.registry import find

RECIPES = Path(__file__).parents[2] / "recipes"


def test_the_prompt_is_the_one_of_lm_evaluation_harness() -> None:
    assert (
        mc.prompt(" To close a gap ", ["cut", "raise", "hold"]) == "To close a gap\nA. cut\nB. raise\nC. hold\nAnswer:"
    )
    asked = mc.prompt("Q", ["x", "y"], "instruction").splitlines()
    assert asked == ["Q", "A. x", "B. y", "Answer with the letter of the right option and nothing else."]


def test_the_likeliest_letter_counts_in_the_form_that_is_asked_for() -> None:
    read = {
        "letters answer": [np.log([0.1, 0.6, 0.3]), np.log([0.5, 0.5])],
        "letters instruction": [np.log([0.7, 0.2, 0.1]), np.log([0.1, 0.9])],
    }
    given = Answers(
        ["p", "q"],
        [],
        golds=["B", "second"],
        choices=[("u", "v", "w"), ("first", "second")],
        rights=[1, 1],
        logprobs=read,
    )
    run = find("metric", "multiple_choice").run
    assert run(given) == Figures([1.0, 0.0], mean="rate")
    assert run(given, form="instruction") == Figures([0.0, 1.0], mean="rate")


def test_every_row_of_mmlu_can_be_asked() -> None:
    files = sorted((RECIPES / "data").glob("mmlu_*.jsonl"))
    assert len(files) == 5
    for file in files:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        found = [
            DataRow(i, row["question"], None, None, row["answer"], tuple(row["choices"])) for i, row in enumerate(rows)
        ]
        assert choices.form_of(found, None) == "letter"
        assert [row for row in found if choices.problem(row, "letter")] == []


def test_the_prompt_of_a_row_of_aqua() -> None:
    options = ["A)$61", "B)$65", "C)$67.40", "D)$70", "E)$78.20"]
    assert mc.prompt("What was the price?", options).splitlines()[1:4] == ["A. $61", "B. $65", "C. $67.40"]


NUMERIC = {("metric", "multiple_choice"): test_the_likeliest_letter_counts_in_the_form_that_is_asked_for}
