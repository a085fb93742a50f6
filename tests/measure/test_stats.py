"""Intervals, paired tests and Holm's correction against scipy, hand cases and simulation."""

from __future__ import annotations

from itertools import product
from math import isnan, nan, sqrt

import numpy as np
import pytest
from scipy.stats import binomtest, norm, t, ttest_1samp

from steerdsl.measure.answers import Figures
from steerdsl.measure.stats import difference, holm, interval, mcnemar, newcombe, wilson


@pytest.mark.parametrize("draw", ["normal", "skewed"])
@pytest.mark.parametrize("n", [10, 40])
def test_intervals_of_a_mean_cover_it(draw: str, n: int) -> None:
    random = np.random.default_rng(n)
    hits = 0
    for trial in range(300):
        values = random.normal(5, 2, n) if draw == "normal" else random.gamma(2, 2.5, n)
        found = interval(Figures(values.tolist()), seed=trial, samples=1000)
        hits += found.low <= 5 <= found.high
    # 95% less what skewness costs; three standard errors of 300 trials are .04.
    assert 0.89 <= hits / 300 <= 0.985


def test_intervals_of_a_rate_cover_it() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        values = (random.random(15) < 0.1).astype(float).tolist()
        found = interval(Figures(values, "rate"))
        hits += found.low <= 0.1 <= found.high
    assert hits / 300 >= 0.92


def test_intervals_of_a_paired_difference_cover_it() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for trial in range(300):
        base = random.normal(0, 5, 15)
        found = difference(
            Figures((base + random.normal(1, 1, 15)).tolist()), Figures(base.tolist()), seed=trial, samples=1000
        )
        hits += found.low <= 1 <= found.high
    assert 0.89 <= hits / 300 <= 0.985


def test_an_interval_is_near_the_exact_one_for_many_prompts() -> None:
    values = np.random.default_rng(2).normal(3, 1, 400)
    found = interval(Figures(values.tolist()))
    half = 1.96 * values.std(ddof=1) / sqrt(400)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_for_few_even_prompts_an_interval_is_near_that_of_the_t_distribution() -> None:
    values = norm.ppf((np.arange(15) + 0.5) / 15)
    found = interval(Figures(values.tolist()), samples=100_000)
    half = t.ppf(0.975, 14) * values.std(ddof=1) / sqrt(15)
    assert (found.low, found.high) == pytest.approx((-half, half), rel=0.03)


def test_one_seed_gives_one_interval() -> None:
    figures = Figures(list(np.random.default_rng(3).normal(size=20)))
    assert interval(figures) == interval(figures) != interval(figures, seed=1)


def test_missing_values_are_left_out() -> None:
    assert interval(Figures([1, nan, 2, 3])) == interval(Figures([1, 2, 3]))
    one = interval(Figures([4, nan]))
    assert (one.mean, one.n) == (4, 1) and isnan(one.low) and isnan(one.high)
    assert isnan(interval(Figures([nan])).mean)
    found = difference(Figures([1, nan, 5, 4]), Figures([0, 7, nan, 2]), samples=100)
    assert (found.mean, found.n) == (1.5, 2)
    lonely = difference(Figures([1, nan]), Figures([0, 7]))
    assert lonely.mean == 1 and isnan(lonely.p)


def test_weights_and_geometric_means() -> None:
    assert interval(Figures([1, 4], weights=[3, 1])).mean == pytest.approx(7 / 4)
    assert interval(Figures([2, 8], "geometric")).mean == pytest.approx(4)
    assert interval(Figures([2, 8], "geometric", [1, 3])).mean == pytest.approx((2 * 8**3) ** (1 / 4))
    found = interval(Figures([2, 8], "geometric"), samples=200)
    assert (found.low, found.high) == pytest.approx((2, 8))


def test_pairing_removes_what_prompts_have_in_common() -> None:
    base = np.random.default_rng(4).normal(0, 50, 20)
    found = difference(Figures((base + 1).tolist()), Figures(base.tolist()))
    assert (found.low, found.mean, found.high) == pytest.approx((1, 1, 1))
    assert found.p < 0.001
    same = difference(Figures(base.tolist()), Figures(base.tolist()))
    assert (same.mean, same.p) == (0, 1)


def test_the_p_value_counts_every_swap() -> None:
    """All 2^8 swaps of eight prompts, one by one."""
    gaps = np.array([0.3, 1.2, -0.4, 2.0, 0.7, 0.1, -0.2, 1.5])
    swaps = [abs(np.mean(gaps * signs)) for signs in product([1, -1], repeat=8)]
    exact = np.mean(np.array(swaps) >= abs(gaps.mean()) - 1e-12)
    found = difference(Figures(gaps.tolist()), Figures([0.0] * 8))
    assert found.p == pytest.approx(exact, abs=0.01)


def test_the_p_value_is_near_that_of_the_t_test() -> None:
    random = np.random.default_rng(5)
    for trial in range(20):
        values = random.normal(0.5, 1, 15)
        found = difference(Figures(values.tolist()), Figures([0.0] * 15), seed=trial)
        assert found.p == pytest.approx(ttest_1samp(values, 0).pvalue, abs=0.04)


def test_a_swap_moves_the_weight_too() -> None:
    """Three prompts with unequal tokens, as in perplexity: all eight swaps by hand."""
    a, wa = np.array([2.0, 3.0, 9.0]), np.array([1.0, 5.0, 2.0])
    b, wb = np.array([1.0, 4.0, 4.0]), np.array([2.0, 1.0, 7.0])

    def mean(values: np.ndarray, weights: np.ndarray) -> float:
        return float(np.exp(np.average(np.log(values), weights=weights)))

    gaps = []
    for swap in product([False, True], repeat=3):
        one, w_one = np.where(swap, b, a), np.where(swap, wb, wa)
        two, w_two = np.where(swap, a, b), np.where(swap, wa, wb)
        gaps.append(mean(one, w_one) - mean(two, w_two))
    found = difference(Figures(a.tolist(), "geometric", wa.tolist()), Figures(b.tolist(), "geometric", wb.tolist()))
    assert found.mean == pytest.approx(gaps[0])
    assert found.p == pytest.approx(np.mean(np.abs(gaps) >= abs(gaps[0]) - 1e-12), abs=0.015)


def test_without_an_effect_few_p_values_are_small() -> None:
    random = np.random.default_rng(6)
    small = 0
    for trial in range(300):
        one, two = random.gamma(2, 1, (2, 12)).tolist()
        small += difference(Figures(one), Figures(two), seed=trial, samples=1000).p < 0.05
    assert 0.015 <= small / 300 <= 0.09


def test_unequal_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="same prompts"):
        difference(Figures([1, 2]), Figures([1]))


def test_newcombe_is_the_published_interval() -> None:
    """Fagerland, Lydersen and Laake 2014, airway hyper-responsiveness before and after a transplantation."""
    assert newcombe(1, 1, 7, 21) == pytest.approx((-0.507, -0.026), abs=5e-4)


def test_intervals_of_a_paired_difference_of_rates_cover_it() -> None:
    """Also near the ends, where the bootstrap's are [0, 0] or [1, 1]."""
    random = np.random.default_rng(2)
    for one, two in ((0.08, 0.02), (0.9, 0.1), (0.5, 0.3)):
        hits = 0
        for _ in range(300):
            a, b = (random.random(12) < one).astype(float), (random.random(12) < two).astype(float)
            found = difference(Figures(a.tolist(), "rate"), Figures(b.tolist(), "rate"))
            hits += found.low <= one - two <= found.high
        assert hits / 300 >= 0.92
    assert difference(Figures([1.0] * 12, "rate"), Figures([0.0] * 12, "rate")).low < 0.7


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (0, 6), (3, 9), (5, 5), (40, 12), (900, 1000)])
def test_mcnemar_is_the_binomial_test(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(binomtest(b, b + c, 0.5).pvalue if b + c else 1.0)


def test_rates_are_compared_by_mcnemar() -> None:
    steered, base = [1.0] * 9 + [0.0] * 6, [0.0] * 8 + [1.0] * 2 + [0.0] * 5
    found = difference(Figures(steered, "rate"), Figures(base, "rate"))
    assert found.mean == pytest.approx(7 / 15)
    assert found.p == pytest.approx(mcnemar(8, 1)) == pytest.approx(binomtest(1, 9, 0.5).pvalue)


@pytest.mark.parametrize(("hits", "n"), [(0, 15), (3, 15), (15, 15), (52, 100)])
def test_wilson_solves_its_equation(hits: int, n: int) -> None:
    """Its ends are the rates from which `hits` lies 1.96 standard errors away."""
    z = norm.ppf(0.975)
    for end in wilson(hits, n):
        assert abs(hits / n - end) == pytest.approx(z * sqrt(end * (1 - end) / n), abs=1e-12)


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1 gives .04 .06 .06 .04, made monotone.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([]) == []


def test_holm_does_not_count_missing_tests() -> None:
    found = holm([0.02, nan, 0.03])
    assert found[0] == pytest.approx(0.04) and isnan(found[1]) and found[2] == pytest.approx(0.04)
