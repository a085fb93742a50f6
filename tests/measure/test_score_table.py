"""The table of figures: what is written is read back equal, in JSON and in CSV, and rows are found by their names."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerdsl.forms.runs import SCORES
from steerdsl.forms.text import parse_json
from steerdsl.measure.table import COLUMNS, Draw, Gap, Row, Table, of_json, said

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBER = st.none() | FINITE
NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8)


@st.composite
def rows(draw: st.DrawFn, **names: Any) -> Row:
    """A row as a run makes it: both ends of an interval or none, and draws of `random` alone."""
    values = draw(st.lists(NUMBER, min_size=1, max_size=3))
    mean = draw(NUMBER)
    low, high = (None, None) if mean is None else draw(st.just((None, None)) | st.tuples(FINITE, FINITE))
    behind = {"average": draw(st.sampled_from(("arithmetic", "rate", "geometric")))}
    behind["weights"] = draw(st.none() | st.just([1.0] * len(values)))
    row = {
        "mean": mean,
        "low": low,
        "high": high,
        "n": len(values),
        "reason": draw(st.none() | NAMES),
        "values": values,
    }
    if names["variant"] == "random":
        made = tuple(Draw(draw(NUMBER), values, **behind) for _ in range(draw(st.integers(1, 3))))
        return Row(**names, **row, draws=made, spread=draw(NUMBER))
    against = {}
    if names["variant"] == "s":
        p, rank = draw(NUMBER), draw(st.none() | st.just((1.0, 0.5, 3)))
        against = {"baseline": Gap(mean, low, high, p, p), "random": Gap(mean, low, high, p, p, *(rank or ()))}
    return Row(**names, **row, **behind, against=against)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Some evaluations, with and without sweeps, over some metrics and data sets."""
    found: list[Row] = []
    for evaluation in draw(st.lists(NAMES, max_size=3, unique=True)):
        axes = draw(st.lists(NAMES, max_size=2, unique=True))
        points = [{axis: f"{i}%" for axis in axes} for i in range(draw(st.integers(1, 3)) if axes else 1)]
        cells = draw(st.lists(st.tuples(NAMES.filter(lambda m: m != "points"), NAMES), min_size=1, max_size=3))
        order = sorted(set(cells), key=lambda cell: [m for m, _ in cells].index(cell[0]))
        for at in points:
            for metric, data in order:
                for variant in ("baseline", "s", "random"):
                    names = {"metric": metric, "data": data, "variant": variant, "evaluation": evaluation, "at": at}
                    found.append(draw(rows(**names)))
    return Table(found)


@settings(max_examples=60)
@given(tables())
def test_a_table_is_read_back_equal_from_json(table: Table) -> None:
    text = json.dumps(table.to_json(), allow_nan=False)
    assert of_json(parse_json(text, SCORES)) == table
    assert of_json(json.loads(text)).to_json() == json.loads(text)


@settings(max_examples=60)
@given(tables())
def test_a_table_is_read_back_equal_from_csv(table: Table) -> None:
    """Numbers digit by digit; nothing where there is none; a line for each figure and each difference."""
    lines = list(csv.DictReader(io.StringIO(table.to_csv(), newline="")))
    assert len(lines) == len(table) + sum(len(row.against) for row in table)
    left = iter(lines)
    for row in table:
        for other, figure in (("", row), *row.against.items()):
            line = next(left)
            named = {"evaluation": row.evaluation, "metric": row.metric, "data": row.data, "against": other}
            assert all(line[name] in (text, f"'{text}") for name, text in named.items())
            assert all(line[f"at {axis}"] == label for axis, label in row.at.items())
            value = figure.mean if isinstance(figure, Row) else figure.difference
            wanted = {"value": value, "low": figure.low, "high": figure.high}
            if isinstance(figure, Row):
                wanted |= {"n": figure.n, "spread": figure.spread, "draws": len(figure.draws) or None}
            else:
                wanted |= {name: getattr(figure, name) for name in ("p", "p_holm", "rank", "draws")}
            assert {name: float(line[name]) if line[name] else None for name in wanted} == wanted
            assert all(not line[name] for name in COLUMNS if name not in (*wanted, *named, "variant", "reason"))


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+1", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    (line,) = csv.DictReader(io.StringIO(Table([Row(text, text, text, reason=text)]).to_csv(), newline=""))
    assert {line[name] for name in ("metric", "data", "variant", "reason")} == {f"'{text}"}


SWEPT = Table(
    Row(
        metric,
        data,
        variant,
        mean=float(10 * x + len(variant)),
        n=3,
        values=[1, 2, 3],
        evaluation="e",
        at={"x": str(x)},
    )
    for x in (1, 2)
    for metric in ("m", "k")
    for data in ("a", "b")
    for variant in ("baseline", "s")
)
ALONE = Table([Row("m", "a", "s", mean=5.0, evaluation="one")])
BOTH = Table((*SWEPT, *ALONE))


def test_rows_are_selected_grouped_and_pivoted() -> None:
    assert BOTH.names("evaluation") == ["e", "one"] and BOTH.evaluations["one"] == ALONE
    assert SWEPT.swept and not ALONE.swept and not Table().swept
    assert [rows[0].at for rows in SWEPT.points.values()] == [{"x": "1"}, {"x": "2"}]
    (alone,) = ALONE.points.values()
    assert alone == ALONE
    chosen = SWEPT.select(metric="k", data="b")
    assert [row.mean for row in chosen] == [18.0, 11.0, 28.0, 21.0]
    second = SWEPT.points[(("x", "2"),)]
    assert {
        v: {m: row.mean for m, row in by.items()}
        for v, by in second.select(data="a").pivot("variant", "metric").items()
    } == {"baseline": {"m": 28.0, "k": 28.0}, "s": {"m": 21.0, "k": 21.0}}
    one = second.one("m", "b", "s")
    assert one is not None and one.mean == 21.0 and second.one("m", "b", "other") is None


def test_rows_of_one_evaluation_are_replaced_and_the_others_stay() -> None:
    new = [Row("m", "a", "s", mean=1.0, evaluation="e")]
    assert list(BOTH.put("e", new)) == [*new, *ALONE] and list(ALONE.put("e", new)) == [*ALONE, *new]


def test_a_point_that_failed_has_the_names_and_no_figure() -> None:
    row = Row(
        "m", "a", "random", 1.0, 0.5, 1.5, 2, None, [1.0, 1.0], draws=(Draw(1.0, [1.0, 1.0]),) * 2, evaluation="e"
    )
    blank = row.blank({"x": "1"}, "it broke")
    made = Table([blank]).to_json()["e"]["points"]
    assert made[0]["failed"] == "it broke" and parse_json(json.dumps({"e": {"points": made}}), SCORES)
    line = made[0]["scores"]["m"]["a"]["random"]
    assert line["values"] == [None, None] and line["n"] == 0 and [d["mean"] for d in line["draws"]] == [None, None]
    assert {line[name] for name in ("mean", "low", "high", "spread", "reason")} == {None}
    assert Table([blank]).to_csv().splitlines()[1] == "e,1,m,a,random,,,,,0,,,,2,,it broke"


def test_a_point_in_words() -> None:
    assert said({"angle": "30deg", "depth": "25%"}) == "angle 30deg, depth 25%" and said({}) == ""
