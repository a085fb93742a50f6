"""What the plots of a choice of layers and of a plane draw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_views import LAYERS, plane_view, ranked_choice, refusal_choice, vector_view
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steerdsl.engine.plot_data import ChoiceView, PlaneView
from steerdsl.methods.types import MethodError
from steerdsl.registry import find
from steerdsl.show.style import CHOSEN


def drawn(plot: str, view: ChoiceView | PlaneView) -> Figure:
    figure = find("plot", plot).run(view)
    assert isinstance(figure, Figure)
    return figure


def marks(axes: Axes, marker: str, filled: bool = True) -> list[int]:
    """The layers that carry a mark."""
    return [
        int(x)
        for line in axes.get_lines()
        if line.get_marker() == marker and (line.get_markerfacecolor() != "white") == filled
        for x in line.get_xdata()
    ]


# ---- choice ------------------------------------------------------------------------------------


def test_choice_stacks_bypass_induce_and_kl() -> None:
    view = refusal_choice()
    figure = drawn("choice", view)
    assert [a.get_ylabel() for a in figure.axes] == ["bypass\n(log odds)", "induce\n(log odds)", "KL (nats)"]
    for axes, values in zip(figure.axes, view.choice["figures"].values(), strict=True):
        curve = next(x for x in axes.get_lines() if len(x.get_xdata()) == LAYERS)
        np.testing.assert_array_equal(curve.get_ydata(), [np.nan if v is None else v for v in values])
    assert figure.axes[2].get_yscale() == "log"
    assert figure.axes[2].get_xlabel() == "layer"


def test_choice_marks_what_was_chosen_and_what_was_dropped_in_every_panel() -> None:
    view = refusal_choice(chosen=(15, 12))
    figure = drawn("choice", view)
    assert figure.get_suptitle().splitlines()[0] == "best: layers 15, 12 of refusal by refusal_selection"
    order = set(view.choice["order"])
    for axes in figure.axes:
        assert marks(axes, "D") == [12, 15]
        assert set(marks(axes, "o")) == order - {12, 15}
        assert set(marks(axes, "o", filled=False)) == set(range(LAYERS)) - order
        lines = [x.get_xdata()[0] for x in axes.get_lines() if x.get_color() == CHOSEN and x.get_marker() == "None"]
        assert sorted(lines) == [12, 15]


def test_choice_draws_the_thresholds_of_its_criterion_and_greys_the_layers_left_out() -> None:
    bypass, induce, kl = drawn("choice", refusal_choice()).axes
    flat = {
        axes: [x.get_ydata()[0] for x in axes.get_lines() if list(x.get_xdata()) == [0, 1]]
        for axes in (bypass, induce, kl)
    }
    assert flat == {bypass: [], induce: [0.0], kl: [0.3]}
    for axes in (bypass, induce, kl):
        (grey,) = axes.patches
        assert (grey.get_x(), grey.get_x() + grey.get_width()) == (23.5, 29.5)  # int(.8 * 30) is the first
    said = [t.get_text() for t in bypass.figure.legends[0].get_texts()]
    assert said[-2:] == ["induce at least 0; kl at most 0.3", "last layers, from 24 on: left out"]


def test_a_picture_names_the_model_and_the_data_in_its_second_line() -> None:
    about = "Qwen1.5-1.8B-Chat; harmful.train (32 prompts) against harmless.train (32 prompts)"
    assert drawn("choice", refusal_choice()).get_suptitle().splitlines()[1] == about
    long = replace(refusal_choice(), about=" ".join(["word"] * 40))
    assert all(len(line) <= 84 for line in drawn("choice", long).get_suptitle().splitlines())


@pytest.mark.parametrize(
    ("criterion", "panels"),
    [
        (
            "dispersion",
            [
                "cosine",
                "distance of the\nclass means",
                "relative mean\nvariance",
                "relative max\nvariance",
                "score\n(smallest wins)",
            ],
        ),
        (
            "dispersion_raw",
            ["cosine", "mean variance", "max variance", "distance of the\nclass means", "score\n(smallest wins)"],
        ),
        ("fisher", ["fisher"]),
        ("cohen_d", ["Cohen's d"]),
        ("max_sim", ["mean cosine"]),
    ],
)
def test_choice_has_a_panel_for_each_figure_and_for_a_score_that_is_none_of_them(
    criterion: str, panels: list[str]
) -> None:
    assert [a.get_ylabel() for a in drawn("choice", ranked_choice(criterion)).axes] == panels


def test_choice_draws_both_classes_in_one_panel() -> None:
    view = ranked_choice("dispersion_raw")
    axes = drawn("choice", view).axes[1]
    curves = {x.get_linestyle(): list(x.get_ydata()) for x in axes.get_lines() if len(x.get_xdata()) == LAYERS}
    assert curves["-"] == view.choice["figures"]["mean_variance_positive"]
    assert curves["--"] == view.choice["figures"]["mean_variance_negative"]


def test_choice_without_figures_is_an_error() -> None:
    choice = {**refusal_choice().choice, "figures": {"kl": [None] * LAYERS}, "score": [None] * LAYERS}
    with pytest.raises(MethodError, match="`best` has no figures to draw"):
        drawn("choice", ChoiceView("best", choice))


# ---- plane -------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [False, True])
def test_plane_draws_the_candidates_on_its_axes(raw: bool) -> None:
    view = plane_view(raw)
    directions = vector_view().vector.directions
    candidates = directions.unit[:, 0].double().numpy() * (directions.raw_norm.numpy() if raw else 1)
    basis = np.stack([view.plane.b1.numpy(), view.plane.b2.numpy()])
    axes = drawn("plane", view).axes[0]
    offsets = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(offsets, candidates @ basis.T, atol=1e-12)
    (circle,) = axes.patches[:1]
    longest = np.linalg.norm(offsets, axis=-1).max()
    assert circle.get_radius() == pytest.approx(longest if raw else 1.0)
    shares = np.linalg.svd(candidates - candidates.mean(0), compute_uv=False) ** 2
    assert axes.get_ylabel() == f"along b2 (its component explains {shares[0] / shares.sum():.0%} of the variance)"


def test_plane_points_b1_right_and_b2_up() -> None:
    axes = drawn("plane", plane_view()).axes[0]
    at = {t.get_text(): t.get_position() for t in axes.texts}
    assert at["b1, 0°"][0] > 1 and at["b1, 0°"][1] == 0
    assert at["b2, 90°"][1] > 1 and at["b2, 90°"][0] == pytest.approx(0)
    assert axes.get_aspect() == 1


def test_plane_without_candidates_is_an_error() -> None:
    view = plane_view()
    with pytest.raises(MethodError, match="`turn` has no candidate directions to draw"):
        drawn("plane", replace(view, plane=replace(view.plane, coordinates=None)))
