"""What the plots of a vector draw, against numpy arithmetic from the classes' rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_views import LAYERS, activations, bare_view, pair_view, rows, vector_view
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steerdsl.engine.plot_data import VectorView
from steerdsl.methods.types import MethodError
from steerdsl.registry import find
from steerdsl.show.plots.norms import fit

POSITIVE, NEGATIVE = (x.astype(np.float64) for x in (rows(40, 1, shift=3.0), rows(40, 2)))


def drawn(plot: str, view: VectorView, **options: object) -> Figure:
    figure = find("plot", plot).run(view, **options)
    assert isinstance(figure, Figure)
    return figure


def line(axes: Axes, label: str) -> np.ndarray:
    (found,) = [x for x in axes.get_lines() if x.get_label() == label]
    return np.asarray(found.get_ydata(), dtype=np.float64)


def small_view(positive: np.ndarray, negative: np.ndarray) -> VectorView:
    return replace(vector_view(), positive=activations(positive), negative=activations(negative))


# ---- pca ---------------------------------------------------------------------------------------


def test_pca_draws_the_classes_on_the_axes_of_their_covariance() -> None:
    axes = drawn("pca", vector_view(), layer=(16,)).axes[0]
    pooled = np.concatenate([POSITIVE, NEGATIVE])[:, 16]
    values, vectors = np.linalg.eigh(np.cov(pooled.T))
    expected = (pooled - pooled.mean(0)) @ vectors[:, ::-1][:, :2]
    offsets = np.concatenate([np.asarray(c.get_offsets()) for c in axes.collections])
    signs = np.sign((offsets * expected).sum(0))
    np.testing.assert_allclose(offsets, signs * expected, rtol=1e-6, atol=1e-6)
    shares = values[::-1] / values.sum()
    assert axes.get_xlabel() == f"PC1 ({shares[0]:.0%} of variance)"
    assert axes.get_ylabel() == f"PC2 ({shares[1]:.0%})"


def test_pca_puts_the_positive_class_to_the_right_and_marks_the_means() -> None:
    view = vector_view()
    turned = replace(view, positive=view.negative, negative=view.positive)
    for given in (view, turned):
        axes = drawn("pca", given, layer=(16,)).axes[0]
        points = [np.asarray(c.get_offsets()) for c in axes.collections]
        assert points[0][:, 0].mean() > 0 > points[1][:, 0].mean()
        marks = [np.ravel(x.get_xydata()) for x in axes.get_lines()]
        np.testing.assert_allclose(marks, [p.mean(0) for p in points], atol=1e-9)


def test_pca_shows_six_evenly_spaced_layers_among_those_that_differ() -> None:
    assert [a.get_title() for a in drawn("pca", vector_view()).axes] == [f"layer {i}" for i in (0, 6, 12, 17, 23, 29)]
    positive, negative = POSITIVE.copy(), NEGATIVE.copy()
    positive[:, :24] = negative[:, :24] = 1.0
    found = drawn("pca", small_view(positive.astype(np.float32), negative.astype(np.float32))).axes
    assert [a.get_title() for a in found] == [f"layer {i}" for i in (24, 25, 26, 27, 28, 29)]


def test_pca_of_one_feature_has_a_flat_second_axis() -> None:
    axes = drawn("pca", small_view(rows(5, 3)[..., :1], rows(4, 4)[..., :1]), layer=(3,)).axes[0]
    assert all((np.asarray(c.get_offsets())[:, 1] == 0).all() for c in axes.collections)
    assert axes.get_xlabel() == "PC1 (100% of variance)"


@pytest.mark.parametrize(
    ("view", "layers", "problem"),
    [
        (bare_view(), None, "`old` has no prompts behind it, and `pca` draws what they gave"),
        (vector_view(), (30,), "`topic` has no layer 30"),
        (small_view(rows(1, 1), rows(1, 2)), None, "pca needs three prompts, and `topic` has 2"),
        (small_view(rows(2, 1) * 0, rows(2, 2) * 0), (4,), "all activations of `topic` at layer 4 are the same"),
        (small_view(rows(2, 1) * 0, rows(2, 2) * 0), None, "all activations of `topic` at every layer are the same"),
    ],
)
def test_pca_says_what_is_missing(view: VectorView, layers: tuple[int, ...] | None, problem: str) -> None:
    with pytest.raises(MethodError) as error:
        drawn("pca", view, layer=layers)
    assert error.value.problem == problem
    assert error.value.way_out


# ---- dispersion --------------------------------------------------------------------------------


def test_dispersion_draws_the_three_curves() -> None:
    cosine, mean, largest = drawn("dispersion", vector_view()).axes
    means = POSITIVE.mean(0), NEGATIVE.mean(0)
    norms = [np.linalg.norm(m, axis=-1) for m in means]
    np.testing.assert_allclose(cosine.get_lines()[0].get_ydata(), (means[0] * means[1]).sum(-1) / (norms[0] * norms[1]))
    for axes, over_features in ((mean, np.mean), (largest, np.max)):
        assert axes.get_yscale() == "log"
        for label, given in (("econ", POSITIVE), ("generic", NEGATIVE)):
            np.testing.assert_allclose(line(axes, label), over_features(given.var(0, ddof=1), axis=-1))
        assert len({x.get_marker() for x in axes.get_lines()}) == 2
    assert largest.get_xlabel() == "layer"


def test_dispersion_of_a_pair_of_streams_shares_colours_and_differs_in_dashes() -> None:
    view = pair_view()
    figure = drawn("dispersion", view)
    assert figure.get_suptitle().startswith("pre, mid: dispersion at resid_pre and resid_mid, last_token\n")
    cosine, mean, _ = figure.axes
    labels = ["econ, pre", "generic, pre", "econ, mid", "generic, mid"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == labels
    found = {str(x.get_label()): x for x in mean.get_lines()}
    assert found["econ, pre"].get_color() == found["econ, mid"].get_color() != found["generic, mid"].get_color()
    assert len({x.get_linestyle() for x in found.values()}) == 2
    other = rows(40, 3, shift=2.0).astype(np.float64)
    np.testing.assert_allclose(found["econ, mid"].get_ydata(), other.var(0, ddof=1).mean(-1))
    expected = (other.mean(0) * NEGATIVE.mean(0)).sum(-1)
    expected /= np.linalg.norm(other.mean(0), axis=-1) * np.linalg.norm(NEGATIVE.mean(0), axis=-1)
    np.testing.assert_allclose(line(cosine, "mid"), expected)


def test_vectors_of_other_classes_have_other_colours() -> None:
    view = pair_view()
    (mid,) = view.others
    mean = drawn("dispersion", replace(view, others=(replace(mid, labels=("harmful", "harmless")),))).axes[1]
    assert len({x.get_color() for x in mean.get_lines()}) == 4
    assert len({x.get_linestyle() for x in mean.get_lines()}) == 1


def test_dispersion_leaves_a_zero_variance_out_of_the_logarithm() -> None:
    positive, negative = rows(5, 1), rows(5, 2)
    positive[:, 0] = 1.0
    axes = drawn("dispersion", small_view(positive, negative)).axes[1]
    assert np.isnan(line(axes, "econ")[0])
    assert np.isfinite(line(axes, "econ")[1:]).all()


@pytest.mark.parametrize(
    ("view", "problem"),
    [
        (bare_view(), "`old` has no prompts behind it, and `dispersion` draws what they gave"),
        (
            small_view(rows(3, 1), rows(1, 2)),
            "dispersion needs two prompts in each class, and the negative class has one",
        ),
    ],
)
def test_dispersion_says_what_is_missing(view: VectorView, problem: str) -> None:
    with pytest.raises(MethodError) as error:
        drawn("dispersion", view)
    assert error.value.problem == problem


# ---- norms -------------------------------------------------------------------------------------


def test_norms_draws_the_means_and_the_raw_direction() -> None:
    axes = drawn("norms", vector_view()).axes[0]
    found = {str(x.get_label()).partition(" (")[0]: x for x in axes.get_lines()}
    for label, values in (
        ("mean of econ", POSITIVE.mean(0)),
        ("mean of generic", NEGATIVE.mean(0)),
        ("raw direction", POSITIVE.mean(0) - NEGATIVE.mean(0)),
    ):
        np.testing.assert_allclose(found[label].get_ydata(), np.linalg.norm(values, axis=-1), rtol=1e-5)
    assert axes.get_ylim()[0] == 0
    assert drawn("norms", vector_view(), scale="log").axes[0].get_yscale() == "log"


def test_norms_says_whether_norms_grow_linearly_and_variances_exponentially() -> None:
    norms, variances = drawn("norms", vector_view()).axes
    layers = np.arange(LAYERS)
    design = np.stack([np.ones(LAYERS), layers], axis=1)
    for axes, values, kind in (
        (norms, np.linalg.norm(POSITIVE.mean(0), axis=-1), "mean"),
        (variances, np.log(POSITIVE.var(0, ddof=1).mean(-1)), "variance"),
    ):
        (start, slope), (rest,) = np.linalg.lstsq(design, values, rcond=None)[:2]
        r2 = 1 - rest / ((values - values.mean()) ** 2).sum()
        fitted = next(x for x in axes.get_lines() if x.get_label() == "_fit").get_ydata()
        drawn_fit = start + slope * layers
        np.testing.assert_allclose(fitted, drawn_fit if kind == "mean" else np.exp(drawn_fit), rtol=1e-4)
        said = f"{start:.3g} + {slope:.3g} a layer, R² {r2:.2f}"
        if kind == "variance":
            said = f"× {np.exp(slope):.3g} a layer, R² {r2:.2f} of the logarithm"
        assert f"{kind} of econ ({said})" in [x.get_label() for x in axes.get_lines()]
    assert variances.get_yscale() == "log"


def test_a_straight_line_is_fitted_exactly() -> None:
    found = fit([0, 1, 2, 3], [1.0, 3.0, float("nan"), 7.0])
    np.testing.assert_allclose(found, (1.0, 2.0, 1.0))
    assert fit([0, 1, 2], [5.0, 5.0, 5.0]).r2 == 1


def test_norms_of_a_loaded_vector_has_the_direction_alone() -> None:
    (axes,) = drawn("norms", bare_view()).axes
    assert [x.get_label() for x in axes.get_lines()] == ["raw direction"]


def test_norms_of_a_span_draws_the_means_where_they_were_read() -> None:
    view = vector_view()
    layers = torch.tensor([4, 9])
    vector = replace(
        view.vector,
        mean_positive=view.vector.mean_positive[layers],
        mean_negative=view.vector.mean_negative[layers],
        meta={"own_layers": layers},
    )
    axes = drawn("norms", replace(view, vector=vector)).axes[0]
    found = {x.get_label(): list(x.get_xdata()) for x in axes.get_lines()}
    assert found["mean of econ"] == [4, 9]
    assert found["raw direction"] == list(range(LAYERS))


def test_norms_draws_every_direction_of_a_layer() -> None:
    axes = drawn("norms", vector_view(method="top_k", k=2)).axes[0]
    raw = vector_view(method="top_k", k=2).vector.directions.raw_norm.numpy()
    np.testing.assert_allclose([x.get_ydata() for x in axes.get_lines()[-2:]], raw.T)


# ---- cosine ------------------------------------------------------------------------------------


def test_cosine_draws_the_cosine_of_every_pair_of_layers() -> None:
    axes = drawn("cosine", vector_view()).axes[0]
    raw = POSITIVE.mean(0) - NEGATIVE.mean(0)
    unit = raw / np.linalg.norm(raw, axis=-1, keepdims=True)
    image = axes.get_images()[0]
    np.testing.assert_allclose(image.get_array(), unit @ unit.T, atol=1e-6)
    assert image.get_clim() == (-1, 1)


def turned(view: VectorView, name: str, first: int = 0) -> VectorView:
    """The same vector with other directions, at layers from `first` on."""
    unit = torch.nn.functional.normalize(torch.from_numpy(rows(LAYERS, 7)[:, :1]).float(), dim=-1)
    directions = replace(view.vector.directions, unit=unit)
    vector = replace(view.vector, directions=directions, layers=torch.arange(LAYERS) + first)
    return replace(view, name=name, vector=vector)


def test_cosine_of_two_vectors_is_a_line_over_the_layers_that_both_have() -> None:
    one = vector_view()
    other = turned(one, "short", first=3)
    (axes,) = drawn("cosine", replace(one, others=(other,))).axes
    u, v = (np.asarray(x.vector.directions.unit[:, 0], dtype=np.float64) for x in (one, other))
    np.testing.assert_allclose(line(axes, "topic, short"), (u[3:] * v[:-3]).sum(-1), atol=1e-6)
    assert axes.get_ylim() == (-1.05, 1.05) and axes.get_xlabel() == "layer"


def test_three_vectors_are_compared_pair_by_pair() -> None:
    one = vector_view()
    (axes,) = drawn("cosine", replace(one, others=(replace(one, name="b"), turned(one, "c")))).axes
    assert {"topic, b", "topic, c", "b, c"} <= {str(x.get_label()) for x in axes.get_lines()}
    np.testing.assert_allclose(line(axes, "topic, b"), np.ones(LAYERS), atol=1e-6)
    np.testing.assert_allclose(line(axes, "topic, c"), line(axes, "b, c"))


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (turned(vector_view(), "u", first=100), "`topic` and `u` have no layer in common"),
        (replace(vector_view(method="top_k", k=2), name="u"), "`u` has several directions a layer"),
    ],
)
def test_vectors_that_cannot_be_compared_are_told(other: VectorView, problem: str) -> None:
    with pytest.raises(MethodError, match=problem):
        drawn("cosine", replace(vector_view(), others=(other,)))


def test_cosine_greys_zero_directions_and_names_the_layers() -> None:
    view = vector_view(method="top_k", k=2)
    directions = replace(view.vector.directions, unit=view.vector.directions.unit.clone())
    directions.unit[3, 1] = 0
    vector = replace(view.vector, directions=directions, layers=torch.arange(LAYERS) + 100)
    axes = drawn("cosine", replace(view, vector=vector)).axes[0]
    image = np.ma.filled(np.ma.masked_invalid(axes.get_images()[0].get_array()), np.nan)
    assert image.shape == (2 * LAYERS, 2 * LAYERS)
    assert (np.isnan(image).all(0) == (np.arange(2 * LAYERS) == 7)).all()
    named = {t.get_text(): x for t, x in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    assert named["104"] == 8.5  # between the two directions of the fifth layer


def test_cosine_needs_two_directions() -> None:
    view = vector_view()
    one = replace(view.vector.directions, unit=view.vector.directions.unit[:1])
    with pytest.raises(MethodError, match="`topic` has one direction, and `cosine` compares several"):
        drawn("cosine", replace(view, vector=replace(view.vector, directions=one)))
