"""What a search found, in lines, tables and pictures."""

from __future__ import annotations

from typing import Any

import pytest
from made_views import search_view

from steerdsl.methods.types import MethodError
from steerdsl.registry import find
from steerdsl.show.searches import cells, lines, tables, through


def text(sheet: Any) -> list[list[str]]:
    return [list(row) for row in sheet.rows]


def test_the_lines_name_the_choice_and_the_range_with_what_ends_it() -> None:
    found = dict(search_view().found)
    goal = found["goal"]
    assert list(lines({"best": found})) == [
        ("best", f"depth 80% (layer 8), strength 2: {goal} = 10 (21 trials, 15 of them within the limits)"),
        (
            "best",
            "working range: strength 1.75 to 2.25 (3 trials); beside it strength 1: the goal is 6; "
            "strength 3: `kl.econ < 0.6` does not hold",
        ),
    ]
    nothing = search_view(limit=0.01).found
    assert list(lines({"best": nothing})) == [("best", "chose nothing: 21 trials, 0 of them within the limits")]


def test_a_cell_has_the_best_that_keeps_the_limits() -> None:
    found = search_view().found
    drawn = cells(found, "strength", "depth")
    assert drawn.edges == tuple(0.5 * i for i in range(9)) and drawn.layers == (6, 8, 10)
    row = drawn.rows[1]
    assert row[0] is None and row[1] == (10 - 2.25 * 4, True) and row[5] is None
    assert row[4] == (10.0, True)  # 2 and 2.25 are in one cell
    assert row[6] == (6.0, False) and drawn.rows[0][7] is None
    smaller = {**found, "goal": "minimize kl.econ"}
    assert cells(smaller, "strength", "depth").rows[1][4] == (9.75, True)


def test_the_tables_say_the_same() -> None:
    found = search_view().found
    every, mapped, along = (text(sheet) for sheet in tables({"best": found}))
    assert len(every) == 21 and ["80%", "2", "10", "yes", "best"] in every
    assert ["60%", "3.75", "failed", "no", ""] in every
    assert mapped[1] == ["8", "", "1", "6", "9.75", "10", "", "(6)", "(-2.25)"]
    assert [row[0] for row in along] == ["depth", "strength"] and "[" in along[1][1]
    assert [t["values"]["strength"] for t in through(found, "strength")] == [0.5, 1.0, 1.75, 2.0, 2.25, 3.0, 3.75]


def test_the_picture_shades_the_range_and_hatches_what_breaks_a_limit() -> None:
    figure = find("plot", "search").run(search_view())
    goal, limit, mapped, _ = figure.axes
    (shade,) = goal.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (1.75, 2.25)
    marks = {line.get_markerfacecolor(): line for line in goal.lines if line.get_marker() == "o"}
    assert list(marks["white"].get_xdata()) == [3.0, 3.75]
    (over,) = (line for line in limit.lines if line.get_label() == "kl.econ < 0.6")
    assert list(over.get_ydata())[-2:] == pytest.approx([0.2, 0.5])
    hatched = {(patch.get_x(), patch.get_y()) for patch in mapped.patches if patch.get_hatch()}
    assert hatched == {(3.0, y) for y in (0, 1, 2)} | {(3.5, y) for y in (1, 2)}


def test_a_search_without_figures_is_not_drawn() -> None:
    view = search_view()
    blank = [{**trial, "goal": None} for trial in view.found["trials"]]
    with pytest.raises(MethodError, match="has no figures to draw"):
        find("plot", "search").run(type(view)(view.name, {**view.found, "trials": blank}))
