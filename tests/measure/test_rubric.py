"""Rubrics: what a judge is asked, how its mark is read, expectations, agreement."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from steerdsl.measure.answers import Answers
from steerdsl.measure.kappa import weighted_kappa
from steerdsl.measure.metrics.rubric import harmonic, rubrics, title
from steerdsl.measure.ready_rubrics import CONCEPT, READY
from steerdsl.measure.rubric import FIELDS, Rubric, candidates, expectation, fields, messages, read
from steerdsl.registry import find

PERCENT = Rubric("r", "Grade {answer}", (0.0, 100.0))
FIVE = Rubric("r", "Grade {answer}", (1.0, 5.0))
PLAIN = Rubric("r", "Grade {answer}", (0.0, 100.0), expected=False)


def asked(rubric: Rubric, *item: str) -> str:
    (message,) = messages(rubric, *item)
    assert message["role"] == "user"
    return message["content"]


def test_fields_are_put_in_once_and_other_braces_are_text() -> None:
    rubric = Rubric("r", 'Q {question} A {answer} B {baseline} {"mark": 5} {{answer}} { answer }', (0, 10))
    text = asked(rubric, "{answer}", "{baseline} {question}", "no {answer}")
    assert text.startswith(
        'Q {answer} A {baseline} {question} B no {answer} {"mark": 5} {{baseline} {question}} { answer }'
    )
    assert text.endswith("\n\nReply with one number from 0 to 10 and nothing else.")
    assert fields("{a} {answer} {a} {1} {}") == ("a", "answer")


def test_a_rubric_that_asks_for_brackets_says_itself_how_to_reply() -> None:
    rubric = Rubric("r", "Explain, then write Rating: [[mark]]. {answer}", (0, 2))
    assert asked(rubric, "q", "x") == "Explain, then write Rating: [[mark]]. x"
    assert read(rubric, "It says 2 things and [[0]] is low. Rating: [[1.5]]").value == 1.5


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        *(("75", 75), (" 75\n", 75), ("75.", 75), ("75.0", 75), ("7.5", 7.5), ("**75**", 75), ("Score: 75", 75)),
        *(("0", 0), ("100", 100), ("75/100", 75), ("Rating: 75 / 100", 75), ("**Mark:** 75", 75), ("[[75]]", 75)),
        *(("<think>It is 20.</think>75", 75), ("20, no 30.</think>\n\n75", 75), ("+75", 75)),
        ("<think>Perhaps [[10]]</think> So [[75]].", 75),
    ],
)
def test_marks(reply: str, mark: float) -> None:
    found = read(PERCENT, reply)
    assert (found.value, found.fault, found.expected) == (mark, None, False)


NOT = "the reply is not one number"
OUT = "the mark is outside the scale 0 to 100"
OTHER = "the reply is a mark out of another number than the highest of the scale"


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        *((text, NOT) for text in ("I would say 75", "75 because it is good", "70-80", "7,5", "1e2", "seventy", "75%")),
        *((text, NOT) for text in ("75 80", "٧٥", "７５", "075", "nan", "inf", "0x10", "75..", "REFUSAL", "½", "--5")),
        *((text, NOT) for text in ("9999999999", "{'mark': 75}", ".", "-", "$75", "7 5", "75/")),
        *(("101", OUT), ("-1", OUT), ("100.5", OUT), ("[[250]]", OUT), ("75/5", OTHER), ("7/10", OTHER)),
        *(("", "the reply is empty"), ("<think>75", "the reply ends within its thoughts")),
        ("<think>75</think>", "the reply ends within its thoughts"),
        ("<think>75</think> It is hard to say.", NOT),
    ],
)
def test_what_is_no_mark_is_unread_and_never_0(reply: str, fault: str) -> None:
    found = read(PERCENT, reply, [("75", -0.1)])
    assert math.isnan(found.value) and found.fault == fault and not found.expected


@given(st.text(max_size=40))
def test_any_reply_gives_a_mark_of_the_scale_or_a_reason(reply: str) -> None:
    found = read(PERCENT, reply)
    assert (found.fault is None and 0 <= found.value <= 100) or (found.fault and math.isnan(found.value))


def test_an_expectation() -> None:
    """By hand: marks 80 and 60 with .5 and .25; 120 is no mark of the scale, and `the` no number."""
    told = [("80", math.log(0.5)), (" 60", math.log(0.25)), ("120", math.log(0.1)), ("the", math.log(0.1))]
    found = expectation((0, 100), told)
    assert found.expected and found.value == pytest.approx((80 * 0.5 + 60 * 0.25) / 0.75)
    thin = expectation((0, 100), [("80", math.log(0.2)), ("the", math.log(0.7))])
    assert math.isnan(thin.value) and thin.fault == "less than 25% of the probability is on marks of the scale"


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(-8, 0)), min_size=1, max_size=20, unique_by=lambda m: m[0]))
def test_expectations_against_numpy(told: list[tuple[int, float]]) -> None:
    marks, p = np.array([m for m, _ in told], float), np.exp([q for _, q in told])
    found = expectation((0, 100), [(str(m), q) for m, q in told])
    if p.sum() < 0.25:
        assert math.isnan(found.value)
    else:
        assert found.value == pytest.approx(np.average(marks, weights=p))


def tokens(*texts: str, top: list[tuple[str, float]]) -> list[tuple[str, list[tuple[str, float]]]]:
    """The tokens of a reply; `top` might stand in the place of the last one with a digit."""
    place = max(n for n, text in enumerate(texts) if any(c.isdigit() for c in text))
    return [(text, top if n == place else [("x", 0.0)]) for n, text in enumerate(texts)]


WHOLE = [("75", -0.5), ("80", -1.2), ("7", -4.0)]
SPLIT = [("7", -0.5), ("8", -1.2)]


@pytest.mark.parametrize(
    ("rubric", "texts", "top", "expected"),
    [
        (PERCENT, ("75",), WHOLE, WHOLE),
        (PERCENT, ("<think>", "20", "</think>", "\n\n", "75", "."), WHOLE, WHOLE),
        (PERCENT, ("7", "5"), SPLIT, None),  # the probability of 7 is that of 70 to 79, and of 7
        (PERCENT, ("7",), SPLIT, None),  # no candidate shows that two digits are one token
        (FIVE, ("4",), [("4", -0.1), ("5", -2.0)], [("4", -0.1), ("5", -2.0)]),
        (FIVE, ("4", "/", "5"), [("5", -0.1)], None),
        (Rubric("r", "{answer}", (-5.0, 5.0)), ("4",), [("4", -0.1)], None),  # the sign is a token of its own
        (PERCENT, ("good",), [("good", -0.1)], None),
        (PERCENT, ("75", "?"), WHOLE, None),  # the texts below are not the reply
    ],
)
def test_a_mark_that_is_one_token_has_candidates(
    rubric: Rubric, texts: tuple[str, ...], top: list[tuple[str, float]], expected: object
) -> None:
    reply = "".join(texts) if texts[-1] != "?" else "75"
    told = tokens(*texts, top=top) if any(c.isdigit() for t in texts for c in t) else [(t, top) for t in texts]
    assert candidates(rubric, reply, told) == expected


def test_a_number_that_is_asked_for_is_read_as_it_is_written() -> None:
    assert read(PLAIN, "75", WHOLE).value == 75 and not read(PLAIN, "75", WHOLE).expected
    assert read(PERCENT, "75", WHOLE).expected


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=40),
    st.lists(st.integers(0, 39), max_size=3),
)
def test_kappa_against_scikit_learn(pairs: list[tuple[int, int]], gone: list[int]) -> None:
    first = [math.nan if n in gone else float(a) for n, (a, _) in enumerate(pairs)]
    second = [float(b) for _, b in pairs]
    found = weighted_kappa(first, second)
    kept = [pair for n, pair in enumerate(pairs) if n not in gone]
    assert found.n == len(kept)
    ours, theirs = [a for a, _ in kept], [b for _, b in kept]
    if len(kept) < 2 or (len({*ours, *theirs}) == 1):
        assert found.kappa is None
    else:
        assert found.kappa == pytest.approx(
            cohen_kappa_score(ours, theirs, weights="quadratic", labels=list(range(7))), abs=1e-12
        )


@pytest.mark.parametrize(
    ("marks", "mean"),
    [
        ((2, 2, 2), 2),
        ((2, 1, 1), 3 / 2.5),
        ((0, 2, 2), 0),
        ((2, 2, 0), 0),
        ((math.nan, 2, 2), None),
        ((0, math.nan, 2), None),
    ],
)
def test_the_harmonic_mean(marks: tuple[float, ...], mean: float | None) -> None:
    found = harmonic(marks)
    assert math.isnan(found) if mean is None else found == pytest.approx(mean)


def test_ready_rubrics_use_known_fields_and_show_the_answer() -> None:
    for ready in READY.values():
        assert set(fields(ready.text)) <= set(FIELDS) and "answer" in fields(ready.text) and ready.source
    assert fields(CONCEPT.text) == ("concept", "answer")
    (concept, *_) = rubrics({"concept": "gold\nmines"})
    assert "gold mines" in asked(concept, "q", "an answer") and "{" not in asked(concept, "q", "an answer")


SLIDES = {
    "accuracy": "is the answer correct for the question?",
    "specificity": "does the text contain terms that are beyond a typical high school macroeconomics curriculum?",
    "complexity": "is the language suitable for high school students?",
    "clarity": "is the text well organised and easy to understand?",
    "consistency": "is the answer relevant and directly addressing the question?",
}


def test_the_slides_criteria_ask_what_the_slides_ask() -> None:
    for name, question in SLIDES.items():
        assert question in READY[f"slides_{name}"].text and READY[f"slides_{name}"].scale == (1, 5)


def test_what_figures_are_called() -> None:
    assert title({"rubric": "coherence"}) == "judge_coherence"
    assert title({"rubric": "rubrics/my trait.md"}) == "judge_my_trait"
    assert title({"rubric": "coherence", "judge": "Qwen/Qwen2.5-1.5B"}) == "judge_coherence_by_Qwen2_5_1_5B"


# ---- the metrics ----


def marked(marks: dict[Any, list[float]], count: int) -> Answers:
    return Answers(["q"] * count, ["a"] * count, marks=marks)


def test_a_mark_is_that_of_the_judge_and_rubric_that_are_asked() -> None:
    asked = {"rubric": "coherence", "judge": "acme/one"}
    (rubric,) = rubrics(asked)
    (other,) = rubrics({"rubric": "fluency"})
    answers = marked({("acme/one", rubric): [25.0, math.nan], (None, rubric): [1, 1], ("acme/one", other): [2, 2]}, 2)
    found = find("metric", "judge").run(answers, **asked)
    assert found.values == pytest.approx([25.0, math.nan], nan_ok=True) and found.reason
    assert found.bounds == READY["coherence"].scale


def test_axbench_is_3_over_the_sum_of_reciprocals() -> None:
    asked = rubrics({"concept": "economics"})
    marks = {(None, rubric): values for rubric, values in zip(asked, ([2.0, 1.0], [1.0, 0.0], [0.5, 2.0]), strict=True)}
    found = find("metric", "axbench").run(marked(marks, 2), concept="economics")
    assert found.values == pytest.approx([3 / (1 / 2 + 1 / 1 + 1 / 0.5), 0.0], abs=1e-9)


def test_a_classifiers_figure_is_the_probability_of_the_label_that_is_asked_for() -> None:
    marks = {
        ("m", "rude", "answer"): [0.25, math.nan],
        ("m", "kind", "answer"): [0.75, 1],
        ("m", "rude", "both"): [1, 1],
    }
    found = find("metric", "classifier").run(marked(marks, 2), model="m", label="rude")
    assert found.values == pytest.approx([0.25, math.nan], nan_ok=True)


NUMERIC = {
    ("metric", "judge"): test_a_mark_is_that_of_the_judge_and_rubric_that_are_asked,
    ("metric", "axbench"): test_axbench_is_3_over_the_sum_of_reciprocals,
    ("metric", "classifier"): test_a_classifiers_figure_is_the_probability_of_the_label_that_is_asked_for,
}
