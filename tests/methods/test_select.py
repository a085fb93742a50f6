"""Every choice of layer against numpy, scipy or scikit-learn arithmetic from its formula."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from classes import candidates, gaussians, select
from sklearn.metrics import roc_auc_score, silhouette_score

from steerdsl.methods.ranks import midranks
from steerdsl.methods.types import Candidates, Directions, MethodError
from steerdsl.registry import entries

# ---- figures -----------------------------------------------------------------------------------


def along(given: Candidates, layer: int) -> tuple[np.ndarray, np.ndarray]:
    r = given.directions.unit[layer, 0].double().numpy()
    return tuple(a.rows[:, layer].double().numpy() @ r for a in (given.positive, given.negative))


def by_fisher(given: Candidates, layer: int) -> float:
    r = given.directions.unit[layer, 0].double().numpy()
    p, n = (a.rows[:, layer].double().numpy() for a in (given.positive, given.negative))
    return (r @ (p.mean(0) - n.mean(0))) ** 2 / (r @ (np.cov(p.T) + np.cov(n.T)) @ r)


def by_cohen_d(given: Candidates, layer: int) -> float:
    p, n = along(given, layer)
    t = scipy.stats.ttest_ind(p, n).statistic
    return t * np.sqrt(1 / len(p) + 1 / len(n))


def by_auroc(given: Candidates, layer: int) -> float:
    p, n = along(given, layer)
    return roc_auc_score(np.r_[np.ones(len(p)), np.zeros(len(n))], np.r_[p, n])


def by_silhouette(given: Candidates, layer: int) -> float:
    p, n = (a.rows[:, layer].numpy() for a in (given.positive, given.negative))
    return silhouette_score(np.r_[p, n].astype(float), np.r_[np.ones(len(p)), np.zeros(len(n))])


def by_max_sim(given: Candidates, layer: int) -> float:
    u = given.directions.unit[:, 0].double().numpy()
    return np.mean([u[layer] @ other for other in u])


def by_max_norm(given: Candidates, layer: int) -> float:
    p, n = (a.rows[:, layer].double().numpy() for a in (given.positive, given.negative))
    return np.linalg.norm(p.mean(0) - n.mean(0))


FIGURES = {
    "fisher": ("fisher", by_fisher),
    "cohen_d": ("cohen_d", by_cohen_d),
    "auroc": ("auroc", by_auroc),
    "silhouette": ("silhouette", by_silhouette),
    "max_sim": ("mean_cosine", by_max_sim),
    "max_norm": ("raw_norm", by_max_norm),
}


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_figure_and_order(name: str) -> None:
    p, n = gaussians(layers=6, shift=1.5)
    given = candidates(p, n[:31])
    got = select(name, given)
    figure, formula = FIGURES[name]
    wanted = np.array([formula(given, layer) for layer in range(6)])
    np.testing.assert_allclose(got.figures[figure].numpy(), wanted, rtol=1e-6)
    assert got.order == (1 + np.argsort(-wanted)).tolist() and got.kept.all()
    np.testing.assert_allclose(got.score.numpy(), -wanted, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_layer_without_a_direction_is_not_chosen(name: str) -> None:
    p, n = gaussians(layers=4)
    p[:, 2] = n[:, 2] = 1.0
    got = select(name, candidates(p, n))
    assert sorted(got.order) == [1, 2, 4] and got.kept.tolist() == [True, True, False, True] and got.score[2].isnan()


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_no_direction_at_all_is_an_error(name: str) -> None:
    p, n = gaussians(layers=2)
    given = candidates(p, n)
    given = replace(given, directions=Directions(torch.zeros(2, 1, 12), torch.zeros(2, 1, dtype=torch.float64)))
    with pytest.raises(MethodError, match="every layer's direction is zero"):
        select(name, given)


@pytest.mark.parametrize("name", ["dispersion", "dispersion_raw", "fisher", "cohen_d", "auroc", "silhouette"])
def test_one_prompt_is_an_error_where_a_variance_is_needed(name: str) -> None:
    p, n = gaussians()
    with pytest.raises(MethodError, match="two prompts in each class"):
        select(name, candidates(p[:1], n))


def test_auroc_of_gaussians_is_phi_of_d_over_root_two() -> None:
    """d = 1.2 gives .802."""
    rng = np.random.default_rng(0)
    p, n = rng.normal(1.2, 1, size=(20_000, 1, 1)), rng.normal(0, 1, size=(20_000, 1, 1))
    got = float(select("auroc", candidates(p, n)).figures["auroc"][0])
    assert got == pytest.approx(scipy.stats.norm.cdf(1.2 / np.sqrt(2)), abs=0.005)
    assert scipy.stats.norm.cdf(1.2 / np.sqrt(2)) == pytest.approx(0.802, abs=5e-4)


def test_auroc_counts_ties_by_half() -> None:
    p, n = np.array([[[1.0]], [[2.0]], [[2.0]]]), np.array([[[2.0]], [[0.0]]])
    assert float(select("auroc", candidates(p, n)).figures["auroc"][0]) == pytest.approx(
        (0 + 1 + 0.5 + 1 + 0.5 + 1) / 6
    )


def test_midranks() -> None:
    x = np.random.default_rng(0).integers(0, 6, size=40).astype(float)
    np.testing.assert_allclose(midranks(torch.from_numpy(x)).numpy(), scipy.stats.rankdata(x))


def test_perfect_separation_without_spread_wins() -> None:
    p, n = gaussians(layers=2)
    p[:, 1], n[:, 1] = 1.0, 0.0
    assert select("fisher", candidates(p, n)).order == [2, 1]


def test_what_each_criterion_needs() -> None:
    needs = {name: set(entry.needs) for name, entry in entries("select").items()}
    assert {name for name, need in needs.items() if "rows" in need} == {"fisher", "cohen_d", "auroc", "silhouette"}
    assert {name for name, need in needs.items() if "model" in need} == {"refusal_selection"}


NUMERIC = {("select", name): partial(test_figure_and_order, name) for name in FIGURES}
