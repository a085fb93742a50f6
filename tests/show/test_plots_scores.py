"""What the plots of scores draw: bars, lines, circles and maps."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from made_views import angle_view, bar_view, grid_view, put, turned_view
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdsl.engine.plot_data import ScoreView
from steerdsl.measure.table import Table, of_json
from steerdsl.methods.types import MethodError
from steerdsl.registry import find
from steerdsl.show.series import metric_name
from steerdsl.show.style import BLACK, BLUE, SKY


def drawn(view: ScoreView) -> Figure:
    figure = find("plot", "scores").run(view)
    assert isinstance(figure, Figure)
    return figure


def lines(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axes.get_lines()}


def rate(degrees: np.ndarray, swing: float = 0.45) -> np.ndarray:
    return 0.5 + swing * np.cos(np.radians(degrees - 30))


# ---- one axis ----------------------------------------------------------------------------------


def test_a_line_for_each_data_set_and_variant_in_order_of_the_axis() -> None:
    (axes,) = drawn(angle_view()).axes
    found = lines(axes)
    assert set(found) == {"harmful, baseline", "harmful, turn", "harmless, baseline", "harmless, turn"}
    degrees = np.arange(0, 360, 10)
    np.testing.assert_array_equal(found["harmful, turn"].get_xdata(), degrees)
    np.testing.assert_allclose(found["harmful, turn"].get_ydata(), rate(degrees))
    np.testing.assert_allclose(found["harmless, turn"].get_ydata(), rate(degrees, 0.2))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("angle (degrees)", "refusal_rate (0 to 1)")


def test_the_baseline_is_dashed_and_in_its_data_set_s_colour() -> None:
    found = lines(drawn(angle_view()).axes[0])
    assert found["harmful, baseline"].get_linestyle() == "--"
    assert set(found["harmful, baseline"].get_ydata()) == {0.9}
    assert found["harmful, turn"].get_linestyle() == "-"
    assert found["harmful, baseline"].get_color() == found["harmful, turn"].get_color()
    assert found["harmful, turn"].get_color() != found["harmless, turn"].get_color()


def test_bands_reach_from_low_to_high() -> None:
    (axes,) = drawn(angle_view(datasets=("harmless",))).axes
    (band,) = axes.collections
    corners = {(round(x, 6), round(y, 6)) for x, y in band.get_paths()[0].vertices}
    for degrees in range(0, 360, 10):
        mean = float(rate(np.array(degrees), 0.2))
        assert {(degrees, round(mean - 0.08, 6)), (degrees, round(mean + 0.08, 6))} <= corners


def test_only_the_data_sets_asked_for() -> None:
    assert set(lines(drawn(angle_view(datasets=("harmless",))).axes[0])) == {"harmless, baseline", "harmless, turn"}


def test_a_share_is_drawn_in_percent_with_a_panel_for_each_data_set_and_a_line_for_the_other_axis() -> None:
    harmful, harmless = drawn(grid_view(("depth",))).axes
    assert (harmful.get_title(), harmless.get_title()) == ("harmful", "harmless")
    found = lines(harmful)
    assert set(found) == {"baseline", *(f"turn, strength {x}" for x in ("0.5", "1", "1.5", "2", "3"))}
    np.testing.assert_array_equal(found["turn, strength 2"].get_xdata(), [25, 50, 75])
    expected = [0.9 * math.exp(-2 * (1 - abs(d - 45) / 50)) for d in (25, 50, 75)]
    np.testing.assert_allclose(found["turn, strength 2"].get_ydata(), expected)
    assert harmless.get_xlabel() == "depth (%)"


@pytest.mark.parametrize("polar", [False, True])
def test_several_variants_have_a_panel_for_each_data_set_and_one_legend(polar: bool) -> None:
    view = angle_view(polar)
    for data in ("harmful", "harmless"):
        view = put(view, data, "random", lambda at: 0.1)
    figure = drawn(view)
    assert [a.get_title() for a in figure.axes] == ["harmful", "harmless"]
    for axes in figure.axes:
        found = lines(axes)
        assert set(found) == {"baseline", "turn", "random"}
        assert len({(line.get_color(), line.get_marker()) for line in found.values()}) == 3
        assert found["baseline"].get_color() == BLACK
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["baseline", "turn", "random"]


def test_baselines_that_differ_along_the_axis_left_out_stay_apart() -> None:
    view = grid_view(("depth",))
    view = put(view, "harmful", "baseline", lambda at: float(at["strength"]) / 10)
    found = lines(drawn(view).axes[0])
    np.testing.assert_allclose(found["baseline, strength 3"].get_ydata(), [0.3] * 3)
    assert sum(label.startswith("baseline") for label in found) == 5


def test_points_without_a_figure_are_gaps_and_none_at_all_is_an_error() -> None:
    view = angle_view(datasets=("harmful",), step=90)
    view = put(view, "harmful", "turn", lambda at: None if at["angle"] == "180deg" else 0.5)
    assert np.isnan(lines(drawn(view).axes[0])["harmful, turn"].get_ydata()[2])
    view = put(view, "harmful", "turn", lambda at: None)
    with pytest.raises(MethodError, match="refusal_rate has no figures to draw"):
        drawn(view)


@pytest.mark.parametrize("polar", [False, True])
def test_lines_at_0_lie_inside_the_picture(polar: bool) -> None:
    view = angle_view(polar, datasets=("harmful",))
    for name in ("baseline", "turn", "random"):
        view = put(view, "harmful", name, lambda at: 0.0)
    axes = drawn(view).axes[0]
    low, high = axes.get_ylim()
    assert low < -0.02 * high and high > 0
    widths = [found.get_linewidth() for found in axes.get_lines() if found.get_label() != "_edge"]
    assert len(set(widths[-3:])) > 1  # the lines, which coincide, are told apart


def test_the_figures_of_a_short_sweep_are_written_and_of_a_long_one_its_ends() -> None:
    short = drawn(angle_view(datasets=("harmful",), step=90)).axes[0]
    assert [t.get_text() for t in short.texts] == [f"{rate(np.array(x)):.3g}" for x in (0, 90, 180, 270)]
    long = drawn(angle_view(datasets=("harmful",))).axes[0]
    assert [t.get_text() for t in long.texts] == ["0.95", "0.05"]


# ---- around a circle ---------------------------------------------------------------------------


def test_polar_runs_counter_clockwise_from_b1_at_the_right_and_closes() -> None:
    (axes,) = drawn(angle_view(polar=True)).axes
    assert axes.name == "polar"
    assert (axes.get_theta_offset(), axes.get_theta_direction()) == (0, 1)
    turn = lines(axes)["harmful, turn"]
    degrees = np.arange(0, 361, 10)
    np.testing.assert_allclose(turn.get_xdata(), np.radians(degrees))
    np.testing.assert_allclose(turn.get_ydata(), rate(degrees))
    names = {t.get_text(): x for t, x in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    assert names["0° (b1)"] == 0
    assert names["90° (b2)"] == pytest.approx(math.pi / 2)


def test_polar_draws_a_steady_baseline_as_a_circle() -> None:
    baseline = lines(drawn(angle_view(polar=True)).axes[0])["harmless, baseline"]
    np.testing.assert_allclose(baseline.get_xdata(), np.linspace(0, 2 * np.pi, 361))
    np.testing.assert_allclose(baseline.get_ydata(), 0.2)
    assert baseline.get_linestyle() == "--"


def test_polar_draws_the_candidates_at_their_angles_where_angles_are_absolute() -> None:
    view = turned_view(absolute=True)
    (axes, bar) = drawn(view).axes
    assert view.turning is not None and view.turning.plane is not None
    x, y = view.turning.plane.coordinates.numpy().T
    (marks,) = [c for c in axes.collections if len(c.get_offsets()) == 30]
    at, radius = np.asarray(marks.get_offsets()).T
    np.testing.assert_allclose(np.exp(1j * at), (x + 1j * y) / np.hypot(x, y))
    assert len(set(radius)) == 1
    top = max(point for c in lines(axes).values() if c.get_label() != "_edge" for point in c.get_ydata())
    assert radius[0] > top
    np.testing.assert_array_equal(marks.get_array(), range(30))
    sizes = marks.get_sizes()
    assert np.argmin(sizes) == np.argmin(np.hypot(x, y)) and np.argmax(sizes) == np.argmax(np.hypot(x, y)) == 16
    numbers = {
        t.get_text(): t.get_position()[0]
        for t in axes.texts
        if t.get_text().isdigit() and t.get_position()[1] > radius[0]
    }
    assert numbers["16"] == pytest.approx(0, abs=1e-9)
    every = sorted(math.degrees(v) for v in numbers.values())
    assert all(b - a >= 9 for a, b in pairwise(every))
    assert bar.get_ylabel().startswith("layer of the candidate direction")
    assert drawn(view).get_suptitle().startswith("scores: refusal_rate (0 to 1) by angle\n")


def test_polar_by_an_angle_starts_at_no_turn_and_has_no_candidates() -> None:
    (axes,) = drawn(turned_view(absolute=False)).axes
    names = [t.get_text() for t in axes.get_xticklabels()]
    assert names[0] == "0° (no turn)" and "90°" in names and not any("b1" in name for name in names)
    assert not [c for c in axes.collections if len(c.get_offsets()) == 30]


def test_controls_keep_their_colours_and_prompting_is_a_circle() -> None:
    found = lines(drawn(turned_view(absolute=True)).axes[0])
    np.testing.assert_allclose(found["prompted"].get_ydata(), [0.7] * 361)
    assert found["prompted"].get_linestyle() == ":"
    assert (found["random"].get_color(), found["turn"].get_color()) == (SKY, BLUE)
    figure = drawn(turned_view(absolute=True))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["baseline", "turn", "random", "prompted"]


def test_a_map_has_no_panel_for_what_is_not_steered() -> None:
    view = grid_view(("strength", "depth"), ("harmful",))
    view = put(view, "harmful", "prompted", lambda at: 0.7)
    maps = [a for a in drawn(view).axes if a.get_images()]
    assert [a.get_title() for a in maps] == ["harmful, turn\n(baseline 0.9, prompted 0.7)"]


def test_polar_leaves_a_part_of_the_circle_open() -> None:
    view = angle_view(polar=True)
    half = Table(row for row in view.rows if float(row.at["angle"][:-3]) <= 180)
    turn = lines(drawn(replace(view, rows=half)).axes[0])["harmful, turn"]
    np.testing.assert_allclose(turn.get_xdata(), np.radians(np.arange(0, 181, 10)))


# ---- two axes ----------------------------------------------------------------------------------


def test_two_axes_are_a_map_for_each_data_set_in_one_range_of_colours() -> None:
    figure = drawn(grid_view(("strength", "depth")))
    harmful, harmless = (a for a in figure.axes if a.get_images())
    value = [[0.9 * math.exp(-s * (1 - abs(d - 45) / 50)) for s in (0.5, 1, 1.5, 2, 3)] for d in (25, 50, 75)]
    np.testing.assert_allclose(harmful.get_images()[0].get_array(), value)
    np.testing.assert_allclose(harmless.get_images()[0].get_array(), 0.1 + 0.3 * np.array(value))
    assert harmful.get_images()[0].get_clim() == harmless.get_images()[0].get_clim()
    assert [t.get_text() for t in harmful.get_xticklabels()] == ["0.5", "1", "1.5", "2", "3"]
    assert [t.get_text() for t in harmful.get_yticklabels()] == ["25", "50", "75"]
    assert harmful.get_title() == "harmful, turn\n(baseline 0.9)"
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("strength", "depth (%)")


def test_a_point_that_a_sweep_has_not_reached_is_a_gap_in_the_map() -> None:
    view = grid_view(("strength", "depth"), ("harmful",))
    axes = drawn(replace(view, rows=Table(view.rows[:-4]))).axes[0]
    cells = np.ma.filled(axes.get_images()[0].get_array(), np.nan)
    assert np.argwhere(np.isnan(cells)).tolist() == [[2, 4]]
    assert len(axes.texts) == 14


def test_three_axes_are_too_many() -> None:
    with pytest.raises(MethodError) as error:
        drawn(replace(grid_view(("strength", "depth")), over=("strength", "depth", "angle")))
    assert error.value.problem == "a plot has two axes at most, and this one would have 3: strength, depth, angle"
    assert error.value.way_out == "write `over strength` or `over strength, depth`"


# ---- no axis -----------------------------------------------------------------------------------


def test_outside_a_sweep_there_are_bars_with_intervals() -> None:
    (axes,) = drawn(bar_view()).axes
    bars = {c.get_label(): [p.get_height() for p in c.patches] for c in axes.containers if hasattr(c, "patches")}
    assert bars == {"baseline": [0.16, 0.01], "forgetful": [0.04, 0.02], "random": [0.14, 0.03]}
    segments = [s for c in axes.collections for s in c.get_segments() if len(s)]
    reach = [sorted(float(y) for _, y in s) for s in segments]
    for low, high in ((0.08, 0.24), (0.01, 0.07), (0.06, 0.22)):
        assert any(np.allclose(r, (low, high)) for r in reach)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["econ\n(n = 16)", "generic\n(n = 16)"]
    assert axes.get_ylabel() == "keyword_rate (per 100 words)"


def bars(by_data: dict[str, Any]) -> ScoreView:
    return ScoreView("scores", "bleu", of_json({"scores": {"bleu": by_data}}))


def test_a_mean_may_lie_a_rounding_error_outside_its_interval() -> None:
    exact = {"mean": 100.0, "low": 100.0 + 1e-13, "high": 100.0 + 1e-13, "n": 4}
    (axes,) = drawn(bars({"econ": {"baseline": exact, "main": exact}})).axes
    assert [p.get_height() for p in axes.patches] == [100.0, 100.0]


def test_a_bar_at_0_can_be_seen_and_every_bar_says_its_figure() -> None:
    none = {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 4}
    some = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 4}
    (axes,) = drawn(bars({"econ": {"baseline": some, "main": none}})).axes
    assert [t.get_text() for t in axes.texts] == ["0.5", "0"]
    assert axes.get_ylim()[0] < 0 and all(p.get_linewidth() > 0 for p in axes.patches)
    (axes,) = drawn(bars({"econ": {"baseline": none, "main": none}})).axes
    assert axes.get_ylim() == (-0.04, 1)


@pytest.mark.parametrize("without", ["baseline", "both"])
def test_a_variant_without_a_figure_has_no_bar(without: str) -> None:
    none = {"mean": None, "low": None, "high": None, "n": 0}
    some = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 4}
    given = {name: none if without in (name, "both") else some for name in ("baseline", "main")}
    if without == "both":
        given["random"] = some
    (axes,) = drawn(bars({"econ": given})).axes
    assert [t.get_text() for t in axes.texts] == ["0.5"]


def test_bars_of_a_data_set_stand_beside_each_other() -> None:
    (axes,) = drawn(bar_view()).axes
    spans = sorted((p.get_x(), p.get_x() + p.get_width()) for c in axes.containers if hasattr(c, "patches") for p in c)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize(
    ("metric", "name"),
    [("bleu", "bleu (0 to 100)"), ("kl", "kl (nats a token)"), ("perplexity", "perplexity"), ("new", "new")],
)
def test_a_metric_is_named_with_its_unit(metric: str, name: str) -> None:
    assert metric_name(metric) == name
