"""Every extraction method against numpy, scipy or scikit-learn arithmetic from its formula."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.linalg
import torch
from classes import activations, gaussians, unit
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler

from steerdsl.methods.types import Directions, MethodError
from steerdsl.registry import find


def extract(name: str, positive: np.ndarray, negative: np.ndarray, **options: object) -> Directions:
    return find("extract", name).run(activations(positive), activations(negative), **options)


# ---- the formulas, written again ---------------------------------------------------------------


def by_diffmean(p, n):
    return p.mean(0) - n.mean(0)


def by_diffmean_unit(p, n):
    return unit(unit(p).mean(0)) - unit(unit(n).mean(0))


def first_right_singular_vector(m):
    _, vectors = np.linalg.eigh(m.T @ m)
    return vectors[:, -1]


def by_pca_diff(p, n):
    return toward(first_right_singular_vector(np.concatenate([p - n, n - p])), p, n)


def by_pca(p, n):
    both = np.concatenate([p, n])
    return toward(first_right_singular_vector(both - both.mean(0)), p, n)


def by_probe(p, n):
    scaler = StandardScaler()
    z = scaler.fit_transform(np.concatenate([p, n]))
    return optimum(z, np.r_[np.ones(len(p)), -np.ones(len(n))], 1.0) / scaler.scale_


def optimum(z, side, c):
    """The weights of ridge logistic regression by Newton's method, until the gradient is rounding."""
    x = np.c_[z, np.ones(len(z))]
    penalty = np.diag(np.r_[np.ones(z.shape[1]), 0.0])
    w = np.zeros(x.shape[1])

    def loss(w):
        return w @ penalty @ w / 2 + c * np.logaddexp(0, -side * (x @ w)).sum()

    for _ in range(100):
        wrong = 1 / (1 + np.exp(side * (x @ w)))
        gradient = penalty @ w - c * x.T @ (side * wrong)
        step = np.linalg.solve(penalty + c * (x.T * (wrong * (1 - wrong))) @ x, gradient)
        size = 1.0
        while loss(w - size * step) > loss(w) - 1e-4 * size * gradient @ step and size > 1e-9:
            size /= 2
        w = w - size * step
    assert np.abs(gradient).max() < 1e-9 * max(1, c)
    return w[:-1]


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0, 10_000.0])
@pytest.mark.parametrize(("n", "d"), [(10, 30), (40, 12), (30, 200)])
def test_a_probe_is_at_its_optimum(n: int, d: int, c: float) -> None:
    p, q = gaussians(n, 2, d)
    got = extract("probe", p, q, C=c)
    for layer in range(2):
        both = np.concatenate([p[:, layer], q[:, layer]]).astype(float)
        z = (both - both.mean(0)) / both.std(0)
        wanted = unit(optimum(z, np.r_[np.ones(n), -np.ones(n)], c) / both.std(0))
        # Directions are kept as float32, whose own rounding is 1e-15 of a cosine.
        assert 1 - unit(got.unit[layer, 0].double().numpy()) @ wanted < 1e-8
    assert "warnings" not in got.figures


def by_lda(p, n):
    within = np.concatenate([p - p.mean(0), n - n.mean(0)])
    covariance, _ = ledoit_wolf(within, assume_centered=True)
    return np.linalg.solve(covariance, p.mean(0) - n.mean(0))


def toward(axis, p, n):
    return axis * np.sign(axis @ (p.mean(0) - n.mean(0)))


FORMULAS = {
    "diffmean": by_diffmean,
    "diffmean_unit": by_diffmean_unit,
    "pca_diff": by_pca_diff,
    "pca_center": by_pca_diff,
    "pca": by_pca,
    "probe": by_probe,
    "lda": by_lda,
    "leace": by_diffmean,
}
UNPAIRED = sorted(set(FORMULAS) - {"pca_diff", "pca_center"})


@pytest.mark.parametrize("name", sorted(FORMULAS))
@pytest.mark.parametrize("shape", [(40, 3, 12), (10, 2, 30)], ids=["n>d", "n<d"])
def test_direction_is_the_formula_s(name: str, shape: tuple[int, int, int]) -> None:
    p, n = gaussians(*shape)
    got = extract(name, p, n)
    assert got.unit.dtype == torch.float32 and got.raw_norm.dtype == torch.float64
    for layer in range(shape[1]):
        wanted = unit(FORMULAS[name](p[:, layer].astype(float), n[:, layer].astype(float)))
        np.testing.assert_allclose(got.unit[layer, 0].numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("name", UNPAIRED)
def test_classes_of_unequal_size(name: str) -> None:
    p, n = gaussians()
    got = extract(name, p, n[:25])
    wanted = unit(FORMULAS[name](p[:, 1].astype(float), n[:25, 1].astype(float)))
    np.testing.assert_allclose(got.unit[1, 0].numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_swapping_the_classes_negates(name: str) -> None:
    p, n = gaussians()
    torch.testing.assert_close(extract(name, p, n).unit, -extract(name, n, p).unit, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", ["pca_diff", "pca_center", "pca", "probe", "lda"])
def test_raw_norm_is_the_mean_difference_along_the_direction(name: str) -> None:
    p, n = gaussians()
    got = extract(name, p, n)
    delta = p.mean(0, dtype=float) - n.mean(0, dtype=float)
    np.testing.assert_allclose(got.raw_norm[:, 0], (got.unit[:, 0].numpy() * delta).sum(-1), atol=1e-5)
    assert (got.raw_norm > 0).all()


# ---- one trap for each method ------------------------------------------------------------------


def test_diffmean_keeps_its_norm() -> None:
    p, n = gaussians()
    got = extract("diffmean", p, n)
    np.testing.assert_allclose(
        got.raw_norm[:, 0], np.linalg.norm(by_diffmean(p.astype(float), n.astype(float)), axis=-1)
    )


def test_diffmean_of_one_prompt_warns() -> None:
    p, n = gaussians()
    got = extract("diffmean", p[:1], n)
    assert got.figures["warnings"] == ["the positive class has one prompt: its mean is that prompt"]
    assert "warnings" not in extract("diffmean", p, n).figures


def test_diffmean_unit_ignores_the_samples_scale() -> None:
    p, n = gaussians()
    scales = np.random.default_rng(1).uniform(0.1, 10, size=(len(p), p.shape[1], 1))
    plain, scaled = extract("diffmean_unit", p, n), extract("diffmean_unit", p * scales, n)
    torch.testing.assert_close(plain.unit, scaled.unit, atol=1e-6, rtol=0)
    torch.testing.assert_close(plain.raw_norm, scaled.raw_norm, atol=1e-6, rtol=0)


def test_pca_diff_keeps_the_mean_difference_that_centring_would_lose() -> None:
    """D = (5, 0, 0) + noise (.1, 1, .1) gives e1; a centring PCA gives e2."""
    rng = np.random.default_rng(0)
    d = np.array([5.0, 0, 0]) + rng.normal(size=(200, 3)) * [0.1, 1, 0.1]
    base = rng.normal(size=(200, 3))
    got = extract("pca_diff", (base + d)[:, None], base[:, None]).unit[0, 0].numpy()
    assert got[0] > 0.99
    centred = first_right_singular_vector(d - d.mean(0))
    assert abs(centred[1]) > 0.99


def test_pca_center_is_pairwise_and_pca_is_global() -> None:
    """Pairs far apart along e2 and different along e1: the pairs' own middles take e2 away."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(100, 1, 3)) * [0.1, 20, 0.1]
    apart = np.array([1.0, 0, 0])
    p, n = base + apart, base - apart
    assert abs(extract("pca_center", p, n).unit[0, 0, 0]) > 0.99
    assert abs(extract("pca", p, n).unit[0, 0, 1]) > 0.99


def test_pca_reports_what_it_explains() -> None:
    p, n = gaussians()
    both = np.concatenate([p, n])[:, 1].astype(float)
    values = np.linalg.eigvalsh(np.cov(both.T))
    assert extract("pca", p, n).figures["explained"][1] == pytest.approx(values[-1] / values.sum(), rel=1e-6)


def test_probe_on_isotropic_gaussians_is_the_mean_difference() -> None:
    rng = np.random.default_rng(0)
    delta = unit(rng.normal(size=8)) * 3
    p, n = rng.normal(size=(2000, 1, 8)) + delta, rng.normal(size=(2000, 1, 8))
    got = extract("probe", p, n)
    assert got.unit[0, 0].numpy() @ unit(delta) > 0.99
    assert 0.9 < got.figures["accuracy"][0] < 1.0


def test_lda_whitens() -> None:
    """Covariance diag(1, 100) and difference (1, 1) give w in proportion to (1, .01)."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 40_000, 1, 2))
    noise -= noise.mean(axis=1, keepdims=True)
    p, n = noise * [1, 10] + np.array([[[[1.0, 1.0]]], [[[0.0, 0.0]]]])
    w = extract("lda", p, n).unit[0, 0]
    assert float(w[1] / w[0]) == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(("n", "d"), [(60, 10), (6, 40)])
def test_lda_shrinks_as_ledoit_and_wolf_do(n: int, d: int) -> None:
    p, q = gaussians(n, 1, d)
    within = np.concatenate([p[:, 0] - p[:, 0].mean(0), q[:, 0] - q[:, 0].mean(0)]).astype(float)
    _, shrinkage = ledoit_wolf(within, assume_centered=True)
    assert extract("lda", p, q).figures["shrinkage"][0] == pytest.approx(shrinkage, rel=1e-4)


def test_lda_without_any_spread_is_the_mean_difference() -> None:
    p, n = np.zeros((3, 1, 4)), np.zeros((3, 1, 4))
    p[..., 1] = 2.0
    np.testing.assert_allclose(extract("lda", p, n).unit[0, 0], [0, 1, 0, 0])


@pytest.mark.parametrize(("n", "d"), [(200, 10), (12, 40)], ids=["n>d", "n<d"])
def test_leace_erases(n: int, d: int) -> None:
    """No covariance with the label is left, and the edit is the smallest that does it (Belrose et al.)."""
    p, q = gaussians(n, 1, d, seed=3)
    got = extract("leace", p, q[: n - 4])
    x = np.concatenate([p, q[: n - 4]])[:, 0].astype(float)
    label = np.r_[np.ones(n), np.zeros(n - 4)]
    r, u = got.reader[0, 0].double().numpy(), got.unit[0, 0].double().numpy()
    erased = x - np.outer((x - got.offset[0].double().numpy()) @ r, u)
    cross = (erased - erased.mean(0)).T @ (label - label.mean()) / len(x)
    assert np.abs(cross).max() < 1e-6
    assert r @ u == pytest.approx(1.0, abs=1e-5)

    sigma = np.cov(x.T, ddof=0)
    whitener = np.linalg.pinv(np.real(scipy.linalg.sqrtm(sigma)), rcond=1e-6, hermitian=True)
    direction = unit(whitener @ (x - x.mean(0)).T @ (label - label.mean()))
    projection = np.linalg.pinv(whitener, rcond=1e-6, hermitian=True) @ np.outer(direction, direction) @ whitener
    np.testing.assert_allclose(np.outer(u, r), projection, atol=1e-4 * np.abs(projection).max())


def test_top_k_recovers_a_planted_subspace() -> None:
    rng = np.random.default_rng(0)
    planted = np.linalg.qr(rng.normal(size=(20, 3)))[0].T
    n = rng.normal(size=(100, 2, 20)) * 0.01
    p = np.einsum("nlk,kd->nld", rng.normal(2, 5, size=(100, 2, 3)) * [1, 0.5, 0.25], planted) + n
    got = extract("top_k", p, n, k=3)
    for rows in got.unit.double().numpy():
        np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-6)
        np.testing.assert_allclose(np.linalg.svd(rows @ planted.T)[1], 1, atol=1e-4)
    assert sum(got.figures["explained"][0]) > 0.999
    singular = np.linalg.svd(
        p[:, 0].astype(np.float32).astype(float) - n[:, 0].astype(np.float32).astype(float).mean(0)
    )[1]
    np.testing.assert_allclose(got.figures["explained"][0], (singular**2 / (singular**2).sum())[:3], rtol=1e-5)


@pytest.mark.parametrize("k", [0, 7])
def test_top_k_needs_as_many_prompts(k: int) -> None:
    p, n = gaussians(6)
    with pytest.raises(MethodError, match=f"k must be between 1 and 6, not {k}"):
        extract("top_k", p, n, k=k)


def test_options_out_of_range() -> None:
    p, n = gaussians()
    with pytest.raises(MethodError, match="C must be positive, not 0"):
        extract("probe", p, n, C=0)
    with pytest.raises(MethodError, match="k must be at least 1, not 0"):
        extract("iterative", p, n, recapture=None, k=0)
    with pytest.raises(MethodError, match="stop must be at least 0 and below 1, not 1"):
        extract("iterative", p, n, recapture=None, stop=1)


SHAPE = (40, 3, 12)
NUMERIC = {
    **{("extract", name): partial(test_direction_is_the_formula_s, name, SHAPE) for name in FORMULAS},
    ("extract", "top_k"): test_top_k_recovers_a_planted_subspace,
}
