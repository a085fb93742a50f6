"""Intervals, paired tests and Holm's correction against scipy, hand cases and simulation."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, isnan, nan, sqrt

import numpy as np
import pytest
from scipy.stats import binomtest, norm, t

from steerdsl.measure.answers import Figures
from steerdsl.measure.pseudo_values import pseudo_values
from steerdsl.measure.rates import least_gap, mcnemar, newcombe, wilson
from steerdsl.measure.stats import LEAST, difference, estimate, holm, interval, total

Random = np.random.Generator
Draw = Callable[[Random, int], Figures]


def plain(values: np.ndarray) -> Figures:
    return Figures(values.tolist())


def tokens(random: Random, n: int) -> np.ndarray:
    """Tokens of answers: between 3 and 39, all as likely."""
    return random.integers(3, 40, size=n).astype(float)


def ratio(values: Callable[[Random, np.ndarray], np.ndarray]) -> Draw:
    def made(random: Random, n: int) -> Figures:
        weights = tokens(random, n)
        return Figures(values(random, weights).tolist(), weights=weights.tolist())

    return made


EVEN = np.arange(3.0, 40.0)  # every number of tokens once: means over these are the true ones
# What a score may look like: how it is drawn, its true figure, and by how much it may miss .95 at few prompts.
SCORES: dict[str, tuple[Draw, float, float]] = {
    "normal": (lambda random, n: plain(random.normal(5, 2, n)), 5.0, 0.0),
    "skewed": (lambda random, n: plain(random.exponential(size=n)), 1.0, 0.03),  # .92 at n = 5
    "lognormal": (lambda random, n: plain(np.exp(random.normal(size=n))), exp(0.5), 0.07),
    "counts": (lambda random, n: plain(random.poisson(0.7, n).astype(float)), 0.7, 0.0),
    "mostly zero": (lambda random, n: plain((random.random(n) < 0.4) * random.exponential(size=n)), 0.4, 0.03),
    "over tokens": (ratio(lambda random, w: random.normal(2, 0.8, len(w))), 2.0, 0.02),
    "over tokens, of their number": (
        ratio(lambda random, w: random.gamma(2, 0.5, len(w)) + 3 / np.sqrt(w)),
        float((EVEN * (1 + 3 / np.sqrt(EVEN))).sum() / EVEN.sum()),
        0.03,
    ),
    "perplexity": (
        lambda random, n: Figures(np.exp(random.normal(2, 0.5, n)).tolist(), "geometric", tokens(random, n).tolist()),
        exp(2),
        0.04,
    ),
}


def coverage(draw: Draw, true: float, n: int, trials: int, seed: int) -> float:
    """How many of the intervals that there are hold the true figure."""
    random = np.random.default_rng(seed)
    found = [interval(draw(random, n)) for _ in range(trials)]
    there = [f for f in found if not isnan(f.low)]
    return sum(f.low <= true <= f.high for f in there) / len(there)


@pytest.mark.parametrize("n", [5, 8, 15, 50])
@pytest.mark.parametrize("name", SCORES)
def test_intervals_cover_the_true_figure(name: str, n: int) -> None:
    """.95, less what few skewed prompts cost; three standard errors of 400 trials are .033."""
    draw, true, few = SCORES[name]
    allowed = few if n < 50 else few / 3
    assert coverage(draw, true, n, 400, n) >= 0.95 - allowed - 0.033


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 8, 15, 50])
@pytest.mark.parametrize("name", SCORES)
def test_intervals_cover_the_true_figure_closely(name: str, n: int) -> None:
    """The same with three standard errors of .01."""
    draw, true, few = SCORES[name]
    assert coverage(draw, true, n, 4000, n) >= 0.95 - few - 0.01


@pytest.mark.parametrize("n", [5, 8, 15, 50])
@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.9])
def test_intervals_of_a_rate_cover_it(rate: float, n: int) -> None:
    """Exactly, over all numbers of hits: Wilson's falls below .95 between two numbers, and by at most .1 here."""
    hits = np.arange(n + 1)
    chances = [binomtest(int(k), n, rate).proportion_estimate for k in hits]
    assert chances == [k / n for k in hits]
    weight = [_binomial(int(k), n, rate) for k in hits]
    held = sum(w for k, w in zip(hits, weight, strict=True) if wilson(int(k), n)[0] <= rate <= wilson(int(k), n)[1])
    assert held >= 0.85
    found = interval(Figures([1.0] * 2 + [0.0] * (n - 2), "rate"))
    assert (found.low, found.high) == pytest.approx(wilson(2, n))


def _binomial(k: int, n: int, rate: float) -> float:
    from math import comb

    return comb(n, k) * rate**k * (1 - rate) ** (n - k)


@pytest.mark.parametrize("n", [5, 15, 50])
@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_without_an_effect_few_p_values_are_small(share: float, n: int) -> None:
    """Paired differences that are symmetric about 0, most of them 0 or none."""
    random = np.random.default_rng(n)
    small = 0
    for _ in range(400):
        gaps = (random.random(n) < share) * random.choice([-6.0, -4.0, -2.0, 2.0, 4.0, 6.0], n)
        small += difference(plain(gaps), plain(np.zeros(n))).p < 0.05
    assert small / 400 <= 0.05 + 0.033


def test_an_interval_of_even_prompts_is_that_of_the_t_distribution() -> None:
    values = norm.ppf((np.arange(15) + 0.5) / 15)
    found = interval(plain(values))
    half = t.ppf(0.975, 14) * values.std(ddof=1) / sqrt(15)
    assert (found.low, found.high) == pytest.approx((-half, half))


def test_skewed_prompts_have_halls_interval_where_it_is_wider() -> None:
    """The transformation at the end that it gives is the t quantile."""
    values = np.array([0.1, 0.2, 0.2, 0.4, 0.5, 0.9, 3.0, 6.0])
    found = interval(plain(values))
    n, error = len(values), values.std(ddof=1) / sqrt(len(values))
    a = float(((values - values.mean()) ** 3).mean() / values.std() ** 3 / sqrt(n))
    wanted = t.ppf(0.975, n - 1)
    high = (values.mean() - found.high) / error  # Hall's statistic at the upper end
    assert high + a * high**2 / 3 + a**2 * high**3 / 27 + a / 6 == pytest.approx(-wanted)
    assert found.low == pytest.approx(values.mean() - wanted * error)  # Student's is the wider one here
    assert found.high - found.mean > found.mean - found.low


def test_the_p_value_is_where_the_interval_ends() -> None:
    random = np.random.default_rng(5)
    for n in (5, 8, 15, 40):
        gaps = plain(random.gamma(2, 1, n) - 1.2)
        found = estimate([(1.0, [gaps])])
        low, high = found.interval(1 - found.p())
        assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6)
        low, high = found.interval(0.9)
        assert found.p(low) == pytest.approx(0.1) == found.p(high)


def test_for_symmetric_values_it_is_that_of_the_t_test() -> None:
    values = np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    assert difference(plain(values), plain(np.zeros(5))).p == pytest.approx(2 * t.sf(1 / (sqrt(2.5) / sqrt(5)), 4))


def test_missing_values_are_left_out() -> None:
    some = [1.0, 2, 3, 5, 4, 9]
    assert interval(Figures([1, nan, 2, 3, 5, nan, 4, 9])) == interval(Figures(some))
    one = interval(Figures([4, nan]))
    assert (one.mean, one.n) == (4, 1) and isnan(one.low) and isnan(one.high)
    assert isnan(interval(Figures([nan])).mean)
    found = difference(Figures([1, nan, 5, 4]), Figures([0, 7, nan, 2]))
    assert (found.mean, found.n) == (1.5, 2)
    lonely = difference(Figures([1, nan]), Figures([0, 7]))
    assert lonely.mean == 1 and isnan(lonely.p)


@pytest.mark.parametrize("n", range(1, 9))
def test_few_prompts_have_no_interval_of_a_mean(n: int) -> None:
    found = estimate([(1.0, [Figures([float(i * i) for i in range(n)])])])
    low, high = found.interval()
    assert isnan(low) == isnan(high) == (n < LEAST) == bool(found.why)
    assert isnan(found.p(100.0)) == (n < LEAST)


def test_weights_and_geometric_means() -> None:
    assert interval(Figures([1, 4], weights=[3, 1])).mean == pytest.approx(7 / 4)
    assert interval(Figures([2, 8], "geometric")).mean == pytest.approx(4)
    assert interval(Figures([2, 8], "geometric", [1, 3])).mean == pytest.approx((2 * 8**3) ** (1 / 4))


def test_pseudo_values_are_those_of_leaving_one_out() -> None:
    values, weights = np.array([1.0, 4.0, 2.0, 8.0]), np.array([2.0, 1.0, 5.0, 3.0])
    made = pseudo_values(Figures(values.tolist(), weights=weights.tolist()))
    whole = np.average(values, weights=weights)
    left = [np.average(np.delete(values, i), weights=np.delete(weights, i)) for i in range(4)]
    raw = 4 * whole - 3 * np.array(left)
    assert made - made.mean() == pytest.approx(raw - raw.mean()) and made.mean() == pytest.approx(whole)
    assert pseudo_values(Figures([1.0, nan, 3.0])).tolist() == [1, 3]
    alone = pseudo_values(Figures([1.0, 2.0], weights=[0.0, 3.0]))  # one prompt has all the tokens
    assert alone.tolist() == [2, 2]


def test_pairing_removes_what_prompts_have_in_common() -> None:
    random = np.random.default_rng(4)
    base = random.normal(0, 50, 20)
    found = difference(plain(base + random.normal(1, 0.1, 20)), plain(base))
    assert 0.9 < found.low < found.mean < found.high < 1.1 and found.p < 1e-10
    same = difference(plain(base), plain(base))
    assert (same.mean, same.p) == (0, 1) and isnan(same.low)


def test_a_difference_that_all_prompts_share_has_a_sign_test_and_no_interval() -> None:
    found = difference(Figures([3.0] * 6), Figures([1.0] * 6))
    assert found.p == 2 * 0.5**6 and isnan(found.low)


# ---- random directions: several draws --------------------------------------------------------------


def crossed(random: Random, between: float, kind: str, draws: int = 6, n: int = 15) -> list[Figures]:
    """The scores of some random directions on the same prompts; `between` is how much directions differ."""
    shift, prompts = random.normal(0, between, draws)[:, None], random.normal(0, 1, n)
    if kind == "rate":
        hits = random.random((draws, n)) < 1 / (1 + np.exp(-prompts - shift))
        return [Figures(row.astype(float).tolist(), "rate") for row in hits]
    if kind == "counts":
        return [plain(row.astype(float)) for row in random.poisson(np.exp(0.3 * prompts + shift - 0.5))]
    if kind == "over tokens":
        weights = tokens(random, n).tolist()
        rows = prompts + shift + random.normal(0, 1, (draws, n))
        return [Figures(row.tolist(), weights=weights) for row in rows]
    return [plain(row) for row in prompts + shift + random.normal(0, 1, (draws, n))]


@pytest.mark.parametrize("kind", ["normal", "counts", "rate", "over tokens"])
@pytest.mark.parametrize("between", [0.0, 0.5, 1.0, 5.0])
def test_one_random_direction_seldom_differs_from_five_others(kind: str, between: float) -> None:
    """At p < .05 in about 5%, however much directions differ; two standard errors of 300 trials are .025. (Where
    their figures are lognormal with a standard deviation of 1 it is 9%: five draws do not show such a tail.)"""
    random = np.random.default_rng(int(between * 10))
    small = 0
    for _ in range(300):
        first, *others = crossed(random, min(between, 0.5) if kind == "counts" else between, kind)
        small += difference(first, *others).p < 0.05
    assert small / 300 <= 0.06 + 0.025


def test_a_direction_far_from_all_draws_differs() -> None:
    random = np.random.default_rng(1)
    first, *others = crossed(random, 1.0, "normal")
    far = Figures([value + 20 for value in first.values])
    found = difference(far, *others)
    assert found.p < 0.001 and found.rank == 1 and found.p_rank == pytest.approx(2 / 6)
    assert found.low > 10


def test_the_chance_of_draws_is_that_of_crawford_and_howell() -> None:
    """Where all prompts agree, it is the t test of one case against a few."""
    means = np.array([1.0, 2.0, 4.0, 3.0, 7.0])
    wobble = np.array([-1e-7, 0, 0, 0, 1e-7, 0])
    draws = [plain(mean + wobble) for mean in means]
    found = difference(plain(9 + 2 * wobble), *draws)
    error = means.std(ddof=1) * sqrt(1 + 1 / 5)
    assert found.mean == pytest.approx(9 - 3.4)
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, 4) * error, rel=1e-4)
    assert found.p == pytest.approx(2 * t.sf(5.6 / error, 4), rel=1e-4)
    alone = interval(*draws)
    assert alone.high - alone.mean == pytest.approx(t.ppf(0.975, 4) * means.std(ddof=1) / sqrt(5), rel=1e-4)


def test_draws_that_lack_a_prompt_are_compared_on_the_others() -> None:
    """Also where the prompts differ much; a prompt stays while any draw has it."""
    prompts, means = np.array([0.0, 100, -50, 30, 70, 10]), [1.0, 2.0, 4.0, 3.0, 7.0]
    wobble = np.array([-1e-7, 0, 0, 0, 1e-7, 0])
    whole = [prompts + mean + wobble for mean in means]
    for i, row in enumerate(whole):
        row[i] = nan
    found = interval(*map(plain, whole))
    complete = interval(*(plain(prompts + mean + wobble) for mean in means))
    assert found.n == complete.n == 6
    gap = difference(plain(prompts + 9 + 2 * wobble), *map(plain, whole))
    error = np.std(means, ddof=1) * sqrt(1 + 1 / 5)
    assert gap.n == 6 and 0.6 < (gap.high - gap.mean) / (t.ppf(0.975, 4) * error) < 1.6
    assert difference(plain(prompts), Figures([nan] * 6), plain(prompts + 1)).n == 6


def test_ranks_share_a_place() -> None:
    def flat(x: float) -> Figures:
        return Figures([x, x + 1, x, x, x])

    found = difference(flat(2), flat(1), flat(2), flat(2), flat(3))
    assert found.rank == 3 and found.p_rank == 1


# ---- sums of figures -------------------------------------------------------------------------------


def test_a_share_of_another_rate_has_its_interval() -> None:
    """12 of 12 against half of 12 of 12, where every prompt has the same difference; and with factors 1 and -1
    it is Newcombe's."""
    ones, zeros = Figures([1.0] * 12, "rate"), Figures([0.0] * 12, "rate")
    low, high = estimate([(1.0, [zeros]), (-0.5, [ones])]).interval()
    down = sqrt(wilson(0, 12)[0] ** 2 + (0.5 * (1 - wilson(12, 12)[1])) ** 2)
    up = sqrt(wilson(0, 12)[1] ** 2 + (0.5 * (1 - wilson(12, 12)[0])) ** 2)
    assert (low, high) == pytest.approx((-0.5 - down, -0.5 + up)) and high < 0
    a, b = Figures([1.0] * 5 + [0.0] * 10, "rate"), Figures([0.0] * 4 + [1.0] * 3 + [0.0] * 8, "rate")
    for one, two in ((a, b), (b, a)):
        both = 1
        first, second = int(sum(one.values)) - both, int(sum(two.values)) - both
        assert estimate([(1.0, [one]), (-1.0, [two])]).interval() == pytest.approx(newcombe(both, first, second, 15))


def test_figures_of_other_prompts_are_independent() -> None:
    random = np.random.default_rng(8)
    one, two = plain(random.normal(3, 1, 400)), plain(random.normal(1, 2, 300))
    found = total([estimate([(1.0, [one])]), estimate([(-1.0, [two])])])
    error = sqrt(np.var(one.values, ddof=1) / 400 + np.var(two.values, ddof=1) / 300)
    assert found.interval() == pytest.approx((found.mean - 1.96 * error, found.mean + 1.96 * error), rel=0.02)
    unknown = total([estimate([(1.0, [one])]), estimate([(1.0, [Figures([1.0, 2.0])])])])
    assert isnan(unknown.interval()[0]) and "fewer than 5" in unknown.why


@pytest.mark.parametrize(("n", "gap"), [(1, None), (3, 1.0), (5, 3 / 5), (8, 4 / 8), (15, 4 / 15), (50, 5 / 50)])
def test_the_least_difference_of_rates_that_prompts_can_settle(n: int, gap: float | None) -> None:
    """By trying: one prompt fewer, and every interval holds 0."""
    assert least_gap(n, 0.95) == gap
    if gap is not None:
        fewer = round(gap * n) - 1
        assert all(newcombe(both, fewer, 0, n)[0] <= 0 for both in range(n - fewer + 1))


def test_a_table_without_an_effect_seldom_has_a_small_p() -> None:
    """Four metrics, three other variants, two data sets, under one null; two standard errors of 200 are .03."""
    random = np.random.default_rng(11)
    tables = 0
    for _ in range(200):
        p_values = []
        for _ in range(2):
            hard = random.normal(0, 1, 15)
            variants = [
                [
                    plain(random.gamma(2, 1, 15)),
                    plain(hard + random.normal(0, 1, 15)),
                    Figures((random.random(15) < 0.3).astype(float).tolist(), "rate"),
                    plain(random.poisson(0.5, 15).astype(float)),
                ]
                for _ in range(4)
            ]
            own, *others = variants
            p_values += [difference(a, b).p for other in others for a, b in zip(own, other, strict=True)]
        tables += min(holm(p_values)) < 0.05
    assert tables / 200 <= 0.06 + 0.03


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
