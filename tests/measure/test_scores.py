"""The table of scores: labels, values, intervals, comparisons; and what every metric owes its reader."""

from __future__ import annotations

import json

import pytest

from steerdsl.lang.recipe import MetricCall
from steerdsl.measure import stats
from steerdsl.measure.answers import Answers
from steerdsl.measure.scores import compare, labels, score
from steerdsl.registry import entries

BASE = Answers(["q"] * 4, ["I cannot.", "As an AI, no.", "Sure.", ""], [["a"]] * 4)
STEERED = Answers(["q"] * 4, ["Yes!", "Fine.", "Sure.", "Of course."], [["a"]] * 4)
CALLS = (MetricCall("refusal_rate"), MetricCall("keyword_rate", {"words": ["sure"]}))


def test_scores_of_one_variant() -> None:
    table = score(CALLS, BASE)
    assert list(table) == ["refusal_rate", "keyword_rate"]
    refusals, sure = table.values()
    assert (refusals.mean, refusals.n, refusals.figures.values) == (0.75, 4, [1, 1, 0, 1])
    assert (refusals.low, refusals.high) == stats.wilson(3, 4)
    # Of answers of three, four and one word one word is "sure"; the empty answer has no words to count.
    assert sure.mean == pytest.approx(100 / 3) and sure.n == 3 and sure.low <= sure.mean <= sure.high


def test_json_has_null_where_there_is_no_figure() -> None:
    table = score([MetricCall("distinct_2")], Answers(["q"] * 2, ["one", "one two"]))
    assert json.loads(json.dumps(table["distinct_2"].to_json(), allow_nan=False)) == {
        "mean": 1.0,
        "low": None,
        "high": None,
        "n": 1,
        "reason": "the answers have no words, or are in a script that puts no spaces between words, or have too few; "
        "`zlib_ratio` reads any script",
        "values": [None, 1.0],
    }


def test_labels_tell_options_apart_only_where_they_must() -> None:
    law = MetricCall("keyword_rate", {"words": "law"})
    econ = MetricCall("keyword_rate", {"words": "econ"})
    assert labels([econ]) == ("keyword_rate",)
    assert labels([econ, MetricCall("bleu"), law]) == ("keyword_rate(words: econ)", "bleu", "keyword_rate(words: law)")


def test_what_was_not_filled_is_an_error() -> None:
    with pytest.raises(ValueError, match="eos_share has 0 values for 4 prompts"):
        score([MetricCall("eos_share")], BASE)


def test_comparisons_are_one_family() -> None:
    base, steered = score(CALLS, BASE), score(CALLS, STEERED)
    found = compare([(steered[name], base[name]) for name in base])
    assert [item.label for item in found] == list(base)
    assert found[0].difference.mean == -0.75 and found[0].difference.p == stats.mcnemar(0, 3)
    assert [item.p_holm for item in found] == stats.holm([item.difference.p for item in found])


@pytest.mark.parametrize("entry", entries("metric").values(), ids=lambda entry: entry.name)
def test_every_metric_says_its_unit_and_shows_its_use(entry: object) -> None:
    text = entry.summary  # type: ignore[attr-defined]
    assert any(word in text for word in ("0 to 1", "1 to 5", "nats", "perplexity", "per 100", "compressed over"))
    assert any(word in text for word in ("lower", "higher", "unchanged", "refuse", "baseline"))
    assert f" {entry.name}" in entry.example  # type: ignore[attr-defined]
