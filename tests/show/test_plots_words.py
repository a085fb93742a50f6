"""Pictures, tables and curves of sweeps over words: categories, and no line from one to the next."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from steerdsl.engine.plot_data import ScoreView
from steerdsl.measure.table import Row, Table
from steerdsl.registry import find
from steerdsl.show.curves import curves
from steerdsl.show.sparks import bar
from steerdsl.show.tables import sweep_table

METHODS, PLACES = ("diffmean", "probe", "pca"), ("last_token", "token -2")
RANDOM = 0.5


def figure(at: Mapping[str, str], data: str, variant: str) -> float:
    """Another mean for each steered point and data set; one for each control."""
    if variant != "pushed":
        return {"baseline": 1.0, "random": RANDOM}[variant]
    place = sum(10**i * sorted({*METHODS, *PLACES, "1", "2"}).index(label) for i, label in enumerate(at.values()))
    return 2.0 + place + (100.0 if data == "b" else 0.0)


def rows(axes: Mapping[str, Sequence[str]], data: Sequence[str] = ("a",)) -> Table:
    points: list[dict[str, str]] = [{}]
    for axis, labels in axes.items():
        points = [{**point, axis: label} for point in points for label in labels]
    made = [
        Row("bleu", name, variant, mean, mean - 0.25, mean + 0.5, 4, values=[mean] * 4, evaluation="scores", at=at)
        for at in points
        for name in data
        for variant in ("baseline", "pushed", "random")
        for mean in [figure(at, name, variant)]
    ]
    return Table(made)


def view(axes: Mapping[str, Sequence[str]], data: Sequence[str] = ("a",), **changes: Any) -> ScoreView:
    numbers = {(axis, label): float(label) for axis, labels in axes.items() for label in labels if label.isdigit()}
    return replace(ScoreView("scores", "bleu", rows(axes, data), numbers, tuple(axes)), **changes)


def drawn(view: ScoreView) -> Any:
    return find("plot", "scores").run(view)


def bars(axes: Any) -> dict[str, list[float]]:
    return {
        box.get_label(): [patch.get_height() for patch in box.patches]
        for box in axes.containers
        if hasattr(box, "patches")
    }


def lines(axes: Any) -> list[Any]:
    """What is drawn as a line through several points; whiskers are collections, their caps single marks."""
    return [line for line in axes.get_lines() if len(line.get_xdata()) > 1 and line.get_linestyle() not in ("None", "")]


def names(axes: Any) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def test_one_axis_of_words_is_a_group_of_bars_for_each() -> None:
    (axes,) = drawn(view({"method": METHODS})).axes
    expected = [figure({"method": m}, "a", "pushed") for m in METHODS]
    assert bars(axes) == {"baseline": [1.0] * 3, "pushed": expected, "random": [RANDOM] * 3}
    assert names(axes) == list(METHODS) and axes.get_xlabel() == "method" and not lines(axes)


def test_each_data_set_has_a_panel() -> None:
    first, second = drawn(view({"method": METHODS}, ("a", "b"))).axes
    assert (first.get_title(), second.get_title()) == ("a", "b")
    assert bars(second)["pushed"] == [figure({"method": m}, "b", "pushed") for m in METHODS]


@pytest.mark.parametrize("turned", [False, True])
def test_two_axes_of_words_are_panels_of_bars(turned: bool) -> None:
    axes = {"method": METHODS, "place": PLACES}
    over = ("place", "method") if turned else ("method", "place")
    x, panel = over
    shown = drawn(view(axes, over=over)).axes
    assert [each.get_title() for each in shown] == [f"a, {panel} {label}" for label in axes[panel]]
    for each, label in zip(shown, axes[panel], strict=True):
        at = [{"method": "", "place": "", x: word, panel: label} for word in axes[x]]
        assert names(each) == list(axes[x]) and not lines(each)
        assert bars(each)["pushed"] == [figure(point, "a", "pushed") for point in at]
        assert bars(each)["baseline"] == [1.0] * len(axes[x])


@pytest.mark.parametrize("over", [("method", "k"), ("k", "method")])
def test_a_word_and_a_number_are_lines_in_a_panel_for_each_word(over: tuple[str, str]) -> None:
    shown = drawn(view({"method": METHODS, "k": ("1", "2")}, over=over)).axes
    assert [each.get_title() for each in shown] == [f"a, method {m}" for m in METHODS]
    for each, method in zip(shown, METHODS, strict=True):
        own = next(line for line in each.get_lines() if line.get_label() == "pushed")
        assert list(own.get_xdata()) == [1.0, 2.0]
        assert list(own.get_ydata()) == [figure({"method": method, "k": k}, "a", "pushed") for k in ("1", "2")]
        assert each.get_xlabel() == "k"


def test_a_swept_data_set_is_named_once() -> None:
    axes = {"data": ("econ", "law"), "k": ("1", "2")}
    table = Table(replace(row, mean=1.0, data="data") for row in rows(axes | {"data": METHODS[:2]}))
    shown = drawn(view(axes | {"data": METHODS[:2]}, rows=table)).axes
    assert [each.get_title() for each in shown] == [f"data {label}" for label in METHODS[:2]]


def test_steers_of_an_axis_are_one_series() -> None:
    table = rows({"which": METHODS})
    own = Table(replace(row, variant=row.at["which"]) if row.variant == "pushed" else row for row in table)
    (axes,) = drawn(view({"which": METHODS}, rows=own)).axes
    assert list(bars(axes)) == ["baseline", "steered", "random"]
    assert bars(axes)["steered"] == [figure({"which": m}, "a", "pushed") for m in METHODS]


def test_a_point_without_a_figure_has_no_bar() -> None:
    table = Table(
        row.blank(row.at, "it failed") if row.at["method"] == "pca" else row for row in rows({"method": METHODS})
    )
    (axes,) = drawn(view({"method": METHODS}, rows=table)).axes
    heights = bars(axes)["pushed"]
    assert heights[:2] == [figure({"method": m}, "a", "pushed") for m in METHODS[:2]] and heights[2] != heights[2]


def printed(sheet: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(sheet)
    return out.getvalue()


def test_the_terminal_draws_a_bar_for_each_word() -> None:
    (sheet,) = curves(rows({"method": METHODS}), {})
    text = printed(sheet)
    assert all(f"{method}" in text for method in METHODS) and "█" in text and "▁" not in text
    (sheet,) = curves(rows({"k": ("1", "2")}), {})
    assert "▁" in printed(sheet)


@pytest.mark.parametrize(
    ("value", "most", "text"),
    [
        (2.0, 2.0, "█" * 20),
        (1.0, 2.0, "█" * 10),
        (-1.0, 2.0, "-" + "█" * 10),
        (0.0, 2.0, ""),
        (None, 2.0, ""),
        (0.0, 0.0, ""),
    ],
)
def test_a_bar_is_as_long_as_its_value(value: float | None, most: float, text: str) -> None:
    assert bar(value, most) == text


def test_an_unsteered_model_that_differs_has_its_own_column() -> None:
    table = rows({"data": METHODS[:2]})
    same = printed(sweep_table("scores", table))
    assert same.count("baseline") == 1
    moved = Table(
        replace(row, mean=7.5 if row.at["data"] == "probe" else 3.5) if row.variant == "baseline" else row
        for row in table
    )
    own = printed(sweep_table("scores", moved))
    assert "7.5" in own and "3.5" in own
