"""`dispersion` and `dispersion_raw` against numpy arithmetic from their formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from classes import candidates, gaussians, select, unit

from steerdsl.methods.types import MethodError


def landscape(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ten layers [60, 10, 16]: a shallow decoy without variance, a tight and separated layer 4, wider
    ones around it, and deep decoys whose norm and spread are large."""
    rng = np.random.default_rng(seed)
    middle, apart = unit(rng.normal(size=(10, 16))), unit(rng.normal(size=(10, 16)))
    size = 2.0 ** np.arange(10)[:, None]
    spread = np.full((10, 1), 0.3)
    spread[4] = 0.05
    spread[9] = 0.02
    gap = np.full((10, 1), 0.4)
    gap[4] = 1.0
    noise = rng.normal(size=(2, 60, 10, 16)) * spread
    p, n = size * (middle + gap * apart + noise[0]), size * (middle - gap * apart + noise[1])
    p[:, 0] = n[:, 0] = middle[0]
    return p, n


def test_dispersion_finds_the_planted_layer_and_the_literal_order_does_not() -> None:
    given = candidates(*landscape(), layers=list(range(10)))
    got = select("dispersion", given)
    assert got.order[0] == 4
    assert got.kept.tolist() == [False] + [True] * 7 + [False] * 2
    assert select("dispersion_raw", given).order[0] == 0


def test_dispersion_score() -> None:
    p, n = landscape()
    got = select("dispersion", candidates(p, n, layers=list(range(10))))
    p, n = p.astype(np.float32).astype(float), n.astype(np.float32).astype(float)
    means = p.mean(0), n.mean(0)
    power = [(m**2).sum(-1) / 16 for m in means]
    m = np.maximum(*(x.var(0, ddof=1).mean(-1) / q for x, q in zip((p, n), power, strict=True)))
    x = np.maximum(*(x.var(0, ddof=1).max(-1) / q for x, q in zip((p, n), power, strict=True)))
    cos = (unit(means[0]) * unit(means[1])).sum(-1)
    rank = scipy.stats.rankdata
    kept = slice(1, 8)
    wanted = (3 * rank(m[kept]) + 2 * rank(x[kept]) + rank(cos[kept])) / 6
    np.testing.assert_allclose(got.score[kept].numpy(), wanted)
    np.testing.assert_allclose(got.figures["cosine"].numpy(), cos, atol=1e-9)
    np.testing.assert_allclose(got.figures["relative_mean_variance"].numpy(), m, rtol=1e-9)
    np.testing.assert_allclose(got.figures["max_variance_positive"].numpy(), p.var(0, ddof=1).max(-1), rtol=1e-9)
    assert got.order == [1 + i for i in sorted(range(7), key=lambda i: (wanted[i], cos[kept][i]))]


def test_dispersion_drops_tight_layers_whose_classes_hardly_differ() -> None:
    """As at the last token of a template: the first layers have small variances and a small difference."""
    p, n = landscape()
    for layer in (1, 2):
        middle = (p[:, layer].mean(0) + n[:, layer].mean(0)) / 2
        p[:, layer] = middle + 0.02 * (p[:, layer] - middle)
        n[:, layer] = middle + 0.02 * (n[:, layer] - middle)
    got = select("dispersion", candidates(p, n, layers=list(range(10))))
    assert got.kept.tolist() == [False] * 3 + [True] * 5 + [False] * 2
    assert got.order[0] == 4


def test_dispersion_does_not_see_a_layer_s_scale_and_the_literal_order_does() -> None:
    p, n = landscape()
    scale = np.exp2(np.random.default_rng(1).integers(-4, 5, size=(1, 10, 1)))
    plain, scaled = (candidates(a, b, layers=list(range(10))) for a, b in ((p, n), (p * scale, n * scale)))
    assert select("dispersion", plain).order == select("dispersion", scaled).order
    assert select("dispersion_raw", plain).order != select("dispersion_raw", scaled).order


def test_dispersion_raw_is_lexicographic() -> None:
    p, n = landscape()
    got = select("dispersion_raw", candidates(p, n, layers=list(range(10))))
    p, n = p.astype(np.float32).astype(float), n.astype(np.float32).astype(float)
    mean = np.maximum(p.var(0, ddof=1).mean(-1), n.var(0, ddof=1).mean(-1))
    assert got.order == np.argsort(mean, kind="stable").tolist()
    assert got.score.tolist() == np.argsort(np.argsort(mean)).tolist()


def test_dispersion_ties_go_to_the_smaller_cosine() -> None:
    """Layer 1 is the tighter by mean variance (3), layer 2 by largest variance and cosine (2 + 1)."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 200, 2, 8)) * np.array([[0.1] * 7 + [0.6], [0.4] * 8])
    middle = np.full(8, 3.0)
    gap = np.array([[0.5], [1.5]]) * np.array([1, -1] * 4)
    got = select("dispersion", candidates(middle + gap + noise[0], middle - gap + noise[1]))
    assert float(got.score[0]) == float(got.score[1])
    assert float(got.figures["cosine"][1]) < float(got.figures["cosine"][0]) and got.order == [2, 1]


def test_dispersion_keeps_the_layers_of_a_model_that_is_too_shallow() -> None:
    p, n = gaussians(layers=2)
    got = select("dispersion", candidates(p, n, layers=[0, 1], n_layers=2))
    assert got.kept.all() and got.notes
    assert not select("dispersion", candidates(p, n)).notes


def test_dispersion_of_identical_sets_is_an_error() -> None:
    p, n = gaussians(layers=2)
    given = candidates(p, n)
    with pytest.raises(MethodError, match="the class means agree at every layer"):
        select("dispersion", replace(given, negative=given.positive))


def test_dispersion_leaves_out_as_much_of_the_end_as_asked() -> None:
    given = candidates(*landscape(), layers=list(range(10)))
    assert select("dispersion", given, deepest=0.0).kept.sum() == 9
    assert select("dispersion", given, deepest=0.5).kept.sum() == 4


NUMERIC = {
    ("select", "dispersion"): test_dispersion_score,
    ("select", "dispersion_raw"): test_dispersion_raw_is_lexicographic,
}
