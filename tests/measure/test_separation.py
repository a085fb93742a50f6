"""AUROC, its interval and its pseudo-values against scikit-learn, scipy and the formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import accuracy_score, roc_auc_score

from steerdsl.measure.separation import auroc, auroc_interval, one_class, two_classes

VALUES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=12)


@given(VALUES, VALUES)
def test_the_area_is_that_of_scikit_learn(positive: list[float], negative: list[float]) -> None:
    value, behind = auroc(positive, negative)
    labels = [1] * len(positive) + [0] * len(negative)
    assert value == pytest.approx(roc_auc_score(labels, [*positive, *negative]))
    assert len(behind) == len(labels) and np.mean(behind) == pytest.approx(value)


@given(VALUES.filter(lambda v: len(v) > 2), VALUES.filter(lambda v: len(v) > 2))
def test_pseudo_values_have_the_variance_of_delong(positive: list[float], negative: list[float]) -> None:
    """Var = s10 / m + s01 / n (DeLong et al. 1988), up to the divisors n and n - 1."""
    m, n = len(positive), len(negative)
    wins = np.array([[(p > q) + (p == q) / 2 for q in negative] for p in positive])
    delong = wins.mean(1).var() / m + wins.mean(0).var() / n
    _, behind = auroc(positive, negative)
    assert np.var(behind) / (m + n) == pytest.approx(delong, abs=1e-12)


@given(VALUES, VALUES)
def test_the_interval_is_newcombes(positive: list[float], negative: list[float]) -> None:
    value, _ = auroc(positive, negative)
    m, n = len(positive), len(negative)
    low, high = auroc_interval(value, m, n)
    assert 0 <= low <= value <= high <= 1

    def gap(area: float) -> float:
        q = 1 + ((m + n) / 2 - 1) * ((1 - area) / (2 - area) + area / (1 + area))
        return (value - area) ** 2 - norm.ppf(0.975) ** 2 * area * (1 - area) * q / (m * n)

    for found, end in ((low, 1e-12), (high, 1 - 1e-12)):
        start = value + math.copysign(1e-9, end - value)  # beside the root that 0 and 1 are themselves
        if abs(value - end) > 1e-6:
            assert gap(start) < 0 < gap(end)
            assert found == pytest.approx(brentq(gap, *sorted((start, end))), abs=1e-6)


def test_the_interval_covers_what_it_says() -> None:
    """Normal classes one standard deviation apart: the true area is .76."""
    chance, true, inside, draws = np.random.default_rng(0), norm.cdf(1 / math.sqrt(2)), 0, 2000
    for _ in range(draws):
        value, _ = auroc(chance.normal(1, 1, 15).tolist(), chance.normal(0, 1, 20).tolist())
        low, high = auroc_interval(value, 15, 20)
        inside += low <= true <= high
    assert 0.93 <= inside / draws <= 0.98


def test_classes_that_are_wholly_apart_have_an_interval() -> None:
    low, high = auroc_interval(1.0, 10, 10)
    assert 0.6 < low < 1 and high == 1


@given(VALUES, VALUES, st.integers(-5, 5))
def test_accuracy_is_that_of_scikit_learn(positive: list[float], negative: list[float], at: int) -> None:
    rows = {row.metric: row for row in two_classes("d", "v", positive, negative, at + 0.5)}
    right = accuracy_score([1] * len(positive) + [0] * len(negative), [x > at + 0.5 for x in positive + negative])
    assert rows["accuracy"].mean == pytest.approx(right)
    assert rows["accuracy"].low is not None and rows["accuracy"].low <= right <= rows["accuracy"].high  # type: ignore[operator]
    assert rows["mean_positive"].mean == pytest.approx(np.mean(positive))


def test_without_a_threshold_there_is_no_accuracy() -> None:
    rows = {row.metric: row for row in two_classes("d", "v", [1.0, 2.0], [0.0], None)}
    assert rows["accuracy"].mean is None and "no class means" in str(rows["accuracy"].reason)
    assert rows["sd_negative"].mean is None and rows["sd_negative"].reason == "one prompt has no spread"
    assert rows["sd_positive"].mean == pytest.approx(np.std([1, 2], ddof=1))


def test_one_class_has_a_mean_and_a_spread() -> None:
    mean, spread = one_class("d", "v", [1.0, 2.0, 4.0, 4.0, 5.0, 9.0])
    assert (mean.mean, mean.n, spread.n) == (pytest.approx(25 / 6), 6, 6)
    assert spread.mean == pytest.approx(np.std([1, 2, 4, 4, 5, 9], ddof=1))
    assert mean.low is not None and mean.high is not None and mean.low < 25 / 6 < mean.high
