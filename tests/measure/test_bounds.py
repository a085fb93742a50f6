"""A figure and its interval stay within what the metric can be: every metric, by generation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerdsl.cli.explain import entry_text
from steerdsl.lang.recipe import MetricCall
from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.rubric import Rubric
from steerdsl.measure.scores import score, tabled
from steerdsl.measure.stats import difference, estimate, interval, total
from steerdsl.registry import Entry, entries

METRICS = tuple(entries("metric").values())
BOUNDED = tuple(entry for entry in METRICS if entry.least is not None)
WORDS = ("tax", "taxes", "inflation rate", "the", "and", "no", "I cannot", "4", "Ja", "税", "—", "", "a,b", "B)")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


def ends(entry: Entry) -> tuple[float, float]:
    return (
        -math.inf if entry.least is None else entry.least,
        math.inf if entry.most is None else entry.most,
    )


@st.composite
def drawn(draw: st.DrawFn, entry: Entry) -> tuple[list[Figures], list[Figures]]:
    """Figures of a metric under a steer and of some draws of a control, on the same prompts; many of them at an end."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 30))
    least = entry.least or 0.0
    top = entry.most if entry.most is not None else least + 40
    mean = "rate" if entry.rate else "geometric" if entry.name == "perplexity" else "arithmetic"
    weights = random.integers(1, 40, n).astype(float).tolist() if "logprobs" in entry.needs else None

    def figures() -> Figures:
        shape = draw(st.floats(0.05, 3.0))
        values = least + (top - least) * random.beta(shape, draw(st.floats(0.05, 3.0)), n)
        at_an_end = random.random(n) < draw(st.sampled_from((0.0, 0.5, 0.95)))
        values = np.where(at_an_end, random.choice([least, top]), values)
        values = np.round((values - least) / (top - least)) if entry.rate else values
        values = np.where(random.random(n) < draw(st.sampled_from((0.0, 0.2))), np.nan, values)
        return Figures(values.tolist(), mean, weights, bounds=ends(entry))  # type: ignore[arg-type]

    return [figures()], [figures() for _ in range(draw(st.integers(1, 5)))]


def within(figure: float, low: float, high: float, bounds: tuple[float, float]) -> bool:
    if math.isnan(figure):
        return True
    held = math.isnan(low) or bounds[0] <= low <= figure <= high <= bounds[1]
    return held and bounds[0] <= figure <= bounds[1]


@pytest.mark.parametrize("entry", BOUNDED, ids=lambda entry: entry.name)
@given(data=st.data())
@settings(max_examples=25)
def test_no_interval_leaves_what_the_metric_can_be(entry: Entry, data: st.DataObject) -> None:
    own, others = data.draw(drawn(entry))
    least, most = ends(entry)
    for found in (interval(*own), interval(*others)):
        assert within(found.mean, found.low, found.high, (least, most))
    span = most - least
    gap = difference(own[0], *others)
    assert within(gap.mean, gap.low, gap.high, (-span, span))
    share = data.draw(st.sampled_from((0.0, 0.5, 2.0)))
    claim = estimate([(1.0, own), (-share, others)])
    wide = (-math.inf if share and most == math.inf else least - share * (most if share else 0), most - share * least)
    for level in (0.5, 0.95, 0.999):
        assert within(claim.mean, *claim.interval(level), wide)
        low, high = total([claim, claim]).interval(level)
        assert math.isnan(low) or (2 * wide[0] <= low <= high <= 2 * wide[1])
        low, high = claim.plus(3.0).interval(level)
        assert math.isnan(low) or (wide[0] + 3 <= low <= high <= wide[1] + 3)


class Marked(dict[Any, list[float]]):
    """Marks of n answers by any judge and rubric, some of them missing."""

    def __init__(self, n: int, random: np.random.Generator) -> None:
        self.n, self.random = n, random

    def __missing__(self, key: tuple[Any, ...]) -> list[float]:
        low, high = key[1].scale if isinstance(key[1], Rubric) else (0, 1)
        marks = self.random.integers(int(low), int(high) + 1, self.n)
        return [math.nan if self.random.random() < 0.2 else float(mark) for mark in marks]


@pytest.mark.parametrize("entry", METRICS, ids=lambda entry: entry.name)
@given(data=st.data())
@settings(max_examples=15)
def test_every_metric_gives_values_within_its_bounds(entry: Entry, data: st.DataObject) -> None:
    """On answers of all kinds; `score` refuses a value that leaves them, and its table keeps to them as well."""
    n = data.draw(st.integers(1, 7))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    texts = [data.draw(TEXTS) for _ in range(2 * n)]
    tokens = [np.log(random.random(k)) for k in random.integers(0, 6, n)]
    letters = [np.log(random.random(2)) for _ in range(n)]

    def answers(hypotheses: list[str], logprobs: list[np.ndarray]) -> Answers:
        return Answers(
            ["q"] * n,
            hypotheses,
            [texts[i : i + 2] for i in range(n)],
            [(1, 2)] * n,
            [bool(x) for x in random.random(n) < 0.5],
            [data.draw(st.sampled_from(("4", "tax", "A", None))) for _ in range(n)],
            [("1", "2")] * n,
            [0] * n,
            {
                "text": logprobs,
                "answer": logprobs,
                "answer_base": tokens,
                "kl": [-x for x in logprobs],
                "letters answer": letters,
                "letters instruction": letters,
            },
            {entry.name.removeprefix("judge_"): (random.integers(2, 11, n) / 2).tolist()},
            Figures(random.random(n).tolist()),
            marks=Marked(n, random),
        )

    given = {"words": ["tax"], "rubric": "coherence", "concept": "tax", "model": "m", "label": "tax"}
    call = MetricCall(entry.name, {arg.name: given[arg.name] for arg in entry.args if arg.name in given})
    made = {
        "baseline": [score([call], answers(texts[:n], tokens))],
        "s": [score([call], answers(texts[n:], tokens))],
        "random": [score([call], answers(texts[k : k + n], tokens)) for k in range(min(3, n))],
    }
    least, most = (0, 100) if entry.name == "judge" else ends(entry)
    for row in tabled(made, "s", "d"):
        assert all(value is None or least <= value <= most for value in row.values)
        assert row.low is None or least <= row.low <= row.mean <= row.high <= most  # type: ignore[operator]
        assert all(figures.bounds == (least, most) for figures in row.figures())
        for gap in row.against.values():
            assert gap.low is None or least - most <= gap.low <= gap.high <= most - least  # type: ignore[operator]


def test_a_value_that_a_metric_cannot_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding is not: sacrebleu gives 100.00000000000004 for equal texts."""
    entry = entries("metric")["bleu"]
    for value, kept in ((100.00000000000004, 100.0), (-1e-12, 0.0)):
        monkeypatch.setattr(
            "steerdsl.measure.scores.find",
            lambda kind, name, value=value: replace(entry, run=lambda given: Figures([value])),
        )
        assert score([MetricCall("bleu")], Answers(["q"], ["a"]))["bleu"].figures.values == [kept]
    monkeypatch.setattr(
        "steerdsl.measure.scores.find", lambda kind, name: replace(entry, run=lambda given: Figures([101.0]))
    )
    with pytest.raises(ValueError, match=r"bleu is 101.0, and can be from 0 to 100"):
        score([MetricCall("bleu")], Answers(["q"], ["a"]))


def test_topic_words_that_are_rare_have_an_interval_from_0() -> None:
    """Two of ten answers have the words: Student's interval of these values starts below 0."""
    values = [0.0] * 8 + [0.5, 3.0]
    free, bound = interval(Figures(values)), interval(Figures(values, bounds=(0.0, 100.0)))
    assert free.low < 0 and bound.low == 0 and bound.high == free.high and bound.mean == free.mean


def test_explain_says_what_a_metric_can_be() -> None:
    said = {entry.name: entry_text(entry) for entry in METRICS}
    assert "Values: 0 to 100; intervals keep to it" in said["keyword_rate"]
    assert "Values: 1 to 5;" in said["judge_clarity"]
    assert "Values: at least 1;" in said["perplexity"]
    assert "Values:" not in said["delta_nll"] and "Values:" not in said["lm_eval"]


@pytest.mark.parametrize("entry", METRICS, ids=lambda entry: entry.name)
def test_bounds_are_those_that_the_summary_names(entry: Entry) -> None:
    for text, bounds in (("0 to 100", (0, 100)), ("0 to 1,", (0, 1)), ("0 to 1;", (0, 1)), ("1 to 5", (1, 5))):
        if text in entry.summary and entry.name != "lm_eval":
            assert (entry.least, entry.most) == bounds
    assert not entry.rate or (entry.least, entry.most) == (0, 1)
