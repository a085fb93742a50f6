"""The table of scores: labels, values, intervals, comparisons; and what every metric owes its reader."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from steerdsl.lang.columns import labels
from steerdsl.lang.recipe import MetricCall
from steerdsl.measure import stats
from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.rates import wilson
from steerdsl.measure.scores import Score, adjust, score, tabled
from steerdsl.measure.table import Gap, Row, nested, of_nested
from steerdsl.registry import entries
from steerdsl.show.numbers import drawn
from steerdsl.show.sentences import sentence

BASE = Answers(["q"] * 4, ["I cannot.", "As an AI, no.", "Sure.", ""], [["a"]] * 4)
STEERED = Answers(["q"] * 4, ["Yes!", "Fine.", "Sure.", "Of course."], [["a"]] * 4)
CALLS = (MetricCall("refusal_rate"), MetricCall("keyword_rate", {"words": ["sure"]}))


def test_scores_of_one_variant() -> None:
    table = score(CALLS, BASE)
    assert list(table) == ["refusal_rate", "keyword_rate"]
    refusals, sure = table.values()
    assert (refusals.mean, refusals.n, refusals.figures.values) == (0.75, 4, [1, 1, 0, 1])
    assert (refusals.low, refusals.high) == wilson(3, 4)
    # Of answers of three, four and one word one word is "sure"; the empty answer has no words to count, and
    # three prompts are too few for an interval of a mean.
    assert sure.mean == pytest.approx(100 / 3) and sure.n == 3 and math.isnan(sure.low)


def test_json_has_null_where_there_is_no_figure() -> None:
    table = score([MetricCall("distinct_2")], Answers(["q"] * 2, ["one", "one two"]))
    made = json.loads(json.dumps(nested(tabled({"s": [table]}, "s", "d")), allow_nan=False))
    assert made["distinct_2"]["d"]["s"] == {
        "mean": 1.0,
        "low": None,
        "high": None,
        "n": 1,
        "reason": "the answers have no words, or are in a script that puts no spaces between words, or have too few; "
        "`zlib_ratio` reads any script",
        "values": [None, 1.0],
        "average": "arithmetic",
    }


def test_labels_tell_options_apart_only_where_they_must() -> None:
    law = MetricCall("keyword_rate", {"words": "law"})
    econ = MetricCall("keyword_rate", {"words": "econ"})
    assert labels([econ]) == ("keyword_rate",)
    assert labels([econ, MetricCall("bleu"), law]) == ("keyword_rate(words: econ)", "bleu", "keyword_rate(words: law)")


def test_what_was_not_filled_is_an_error() -> None:
    with pytest.raises(ValueError, match="eos_share has 0 values for 4 prompts"):
        score([MetricCall("eos_share")], BASE)


def scored(*values: float, weights: list[float] | None = None) -> dict[str, Score]:
    return {"m": Score("m", float(np.mean(values)), 0, 0, len(values), Figures(list(values), weights=weights))}


def test_a_table_has_every_draw_and_where_the_steer_stands_among_them() -> None:
    draws = [scored(1, 2, 3, 4, 6), scored(3, 4, 5, 6, 8), scored(2, 2, 2, 5, 4)]
    rows = tabled({"baseline": [scored(0, 0, 1, 0, 1)], "s": [scored(9, 9, 8, 7, 9)], "random": draws}, "s", "d")
    base, own, row = rows
    assert [(r.metric, r.data, r.variant) for r in rows] == [("m", "d", v) for v in ("baseline", "s", "random")]
    assert row.mean == pytest.approx(np.mean([3.2, 5.2, 3.0]))
    assert row.spread == pytest.approx(np.std([3.2, 5.2, 3.0], ddof=1))
    assert [draw.values for draw in row.draws] == [[1, 2, 3, 4, 6], [3, 4, 5, 6, 8], [2, 2, 2, 5, 4]]
    assert row.values == pytest.approx([2, 8 / 3, 10 / 3, 5, 6])
    found = own.against["random"]
    assert found.difference == pytest.approx(8.4 - 3.8) and (found.rank, found.draws) == (1, 3)
    assert found.p_rank == 0.5  # the highest of four, and as likely to be the lowest
    assert not base.draws and own.against["baseline"].rank is None
    assert [f.values for f in row.figures()] == [draw["m"].figures.values for draw in draws]


@pytest.mark.parametrize("known", range(6))
def test_random_directions_without_a_figure_are_no_draws(known: int) -> None:
    """Of five draws some have no figure: rank, p and what is said are those of the others alone."""
    lines = [(1, 2, 3, 4, 6), (3, 4, 5, 6, 8), (2, 2, 2, 5, 4), (9, 9, 9, 9, 8), (4, 4, 4, 5, 5)]
    variants = {"baseline": [scored(0, 0, 1, 0, 1)], "s": [scored(9, 9, 8, 7, 9)]}
    draws = [scored(*values) for values in lines[:known]]
    nothing = [scored(*[float("nan")] * 5)] * (5 - known)
    _, own, row = tabled({**variants, "random": nothing + draws}, "s", "d")
    found = own.against["random"]
    if known > 1:
        _, alone, _ = tabled({**variants, "random": draws}, "s", "d")
        assert found == alone.against["random"] and found.draws == known and found.rank is not None
    else:
        assert (found.low, found.p, found.rank, found.p_rank, found.draws) == (None,) * 5
    many = "5 draws" if known == 5 else f"{known} of 5 draws with a figure"
    assert drawn(row).startswith(many) and ("sd" in drawn(row)) == (known > 1)
    said = sentence({"baseline": replace(own, variant="baseline"), "s": own, "random": row}, "s")
    assert (many in said) == (known > 0)


def test_one_draw_has_no_spread_and_no_p() -> None:
    own, random = tabled({"s": [scored(9, 9, 8, 7, 9)], "random": [scored(1, 2, 3, 4, 6)]}, "s", "d")
    found = own.against["random"]
    assert found.difference == pytest.approx(5.2) and found.p is None and found.low is None
    assert len(random.draws) == 1 and random.spread is None


def test_weights_and_means_are_kept() -> None:
    made = nested(tabled({"s": [scored(1, 2, weights=[3, 4])]}, "s", "d"))
    (row,) = of_nested(json.loads(json.dumps(made)))
    assert row.figures() == (Figures([1, 2], weights=[3, 4]),)


def test_everything_that_an_evaluation_compares_is_one_family() -> None:
    """Metrics, data sets, points and other variants: leaving out any of the four changes every number."""
    p_values = [0.001, 0.02, 0.03, 0.5, None, 0.004, 0.9, 0.04, 0.011, 0.012, 0.6, None, 0.03, 0.002, 0.7, 0.05]
    line = iter(p_values)
    rows = [
        Row(m, d, "s", against={o: Gap(p=next(line)) for o in ("baseline", "random")}, at={"x": x})
        for x in "12"
        for m in ("m", "n")
        for d in ("a", "b")
    ]
    found = [gap.p_holm for row in adjust(rows) for gap in row.against.values()]
    wanted = stats.holm([math.nan if p is None else p for p in p_values])
    assert [math.nan if p is None else p for p in found] == pytest.approx(wanted, nan_ok=True)
    assert found[0] == pytest.approx(0.014) and found[4] is None  # of 14 tests


def by_holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's rule as it is written: the i-th smallest of m times m - i + 1, and never below the one before."""
    order, m = np.argsort(p_values), len(p_values)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * (m - np.arange(m))))
    return adjusted


@pytest.mark.parametrize("compared", [["baseline"], ["baseline", "random"], ["baseline", "random", "prompted"]])
def test_every_variant_that_a_steer_is_compared_with_is_in_the_family(compared: list[str]) -> None:
    """The family grows with the controls: leaving a compared variant out of it, or adjusting each for itself, shows."""
    p_values = np.linspace(0.001, 0.04, 4 * len(compared))
    given = iter(p_values.tolist())
    rows = [
        Row(metric, data, "s", against={other: Gap(p=next(given)) for other in compared})
        for metric in ("m", "n")
        for data in "ab"
    ]
    found = [gap.p_holm for row in adjust(rows) for gap in row.against.values()]
    assert found == pytest.approx(by_holm(p_values))


class Always(dict[str, list[float]]):
    """Marks for every criterion."""

    def __missing__(self, criterion: str) -> list[float]:
        return [3.0, 4.0]


def test_the_registry_says_which_metrics_are_rates() -> None:
    """The plan reads of a rate what its prompts can settle; a metric's own figures say that it is one."""
    given = Answers(
        ["q"] * 2,
        ["one two", "three"],
        [["one"]] * 2,
        [(1, 2), (3,)],
        [True, False],
        ["1", "2"],
        [("1", "2"), ("1", "2")],
        [0, 1],
        {
            **{name: [np.array([-1.0, -2.0])] * 2 for name in ("text", "answer", "answer_base", "kl")},
            **{f"letters {form}": [np.array([-1.0, -2.0])] * 2 for form in ("answer", "instruction")},
        },
        Always({}),
        Figures([0.0, 1.0]),
        marks=Always({}),
    )
    for entry in entries("metric").values():
        named = {"words": ["one"], "rubric": "coherence", "concept": "one", "model": "m", "label": "one"}
        options = {arg.name: named[arg.name] for arg in entry.args if arg.required and arg.name in named}
        assert (entry.run(given, **options).mean == "rate") == entry.rate, entry.name


@pytest.mark.parametrize("entry", entries("metric").values(), ids=lambda entry: entry.name)
def test_every_metric_says_its_unit_and_shows_its_use(entry: object) -> None:
    text = entry.summary  # type: ignore[attr-defined]
    assert any(
        word in text
        for word in (
            "0 to 1",
            "0 to 2",
            "on the scale",
            "1 to 5",
            "nats",
            "perplexity",
            "per 100",
            "compressed size over",
        )
    )
    assert any(word in text for word in ("lower", "higher", "unchanged", "refuse", "baseline"))
    assert f" {entry.name}" in entry.example  # type: ignore[attr-defined]
