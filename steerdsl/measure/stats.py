"""How sure a figure is: intervals of means, of rates and of paired differences, many tests at once.

In: figures, one value a prompt, and of random directions one such list a draw. Out: an `Estimate`, which gives
its interval at any level and the p-value that belongs to it. Everything has a closed form, so that the same
values give the same interval everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from steerdsl.measure.answers import ANYTHING, NONE, Figures
from steerdsl.measure.pseudo_values import by_draw, figure, has_value
from steerdsl.measure.rates import halves_of_rate, halves_of_two, mcnemar

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 5  # of the formulas below, part of every score's content key: raise it when the numbers change
LEVEL = 0.95
LEAST = 5  # prompts; below, no interval of a mean that we tried holds its level (t: .95 of normal, .8 of skewed values)
ONE_DRAW = "one draw of random directions has no spread"
_EQUAL = 1e-9  # values that differ by less, relative to the largest, are equal: what is left is rounding

# A source of uncertainty: how far an interval that is missed with this probability reaches down and up.
Halves = Callable[[float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over `n` prompts, with its independent sources of uncertainty.

    parts: empty when the spread is not known; then `why` says so. `drawn` of them, the last, are the chance of the
    draws of random directions, which more prompts do not lessen. equal: the p-value of a figure that is the
    same for every prompt (a sign test), which has no interval. bounds: what the figure can be at all; an interval that
    is cut there holds the true figure as often.
    """

    mean: float
    n: int
    parts: tuple[Halves, ...] = ()
    why: str = ""
    equal: float = NONE
    bounds: tuple[float, float] = ANYTHING
    drawn: int = 0

    def reach(self, tail: float) -> tuple[float, float]:
        """How far the interval that is missed with probability `tail` reaches down and up. Independent sources
        are squared and added (Zou and Donner 2008, Construction of Confidence Limits about Effect Measures)."""
        return _together(self.parts, tail)

    def reach_of_draws(self, tail: float) -> tuple[float, float]:
        """The share of the reach that more prompts would leave: that of the random draws."""
        return _together(self.parts[len(self.parts) - self.drawn :], tail)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Low and high, within the bounds; nan when the spread is not known."""
        if not self.parts:
            return NONE, NONE
        down, up = self.reach(1 - level)
        return max(self.mean - down, self.bounds[0]), min(self.mean + up, self.bounds[1])

    def plus(self, fixed: float) -> Estimate:
        """The figure and a number that is known."""
        least, most = self.bounds
        return replace(self, mean=self.mean + fixed, bounds=(least + fixed, most + fixed))

    def p(self, bound: float = 0.0) -> float:
        """The two-sided p-value of the true figure being `bound`: one less the largest level whose interval leaves
        the bound out. nan when the spread is not known."""
        gap = abs(self.mean - bound)
        side = 0 if self.mean > bound else 1
        least, most = self.bounds
        if not least - _EQUAL * abs(least) <= bound <= most + _EQUAL * abs(most):
            return 0.0  # the figure cannot be that for any prompts
        if not self.parts:
            return NONE if math.isnan(self.equal) else 1.0 if gap <= _EQUAL * abs(bound) else self.equal
        if self.reach(1.0)[side] >= gap:
            return 1.0
        low, high = -37.0, 0.0  # natural logarithms of the tail
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if self.reach(math.exp(middle))[side] < gap else (middle, high)
        return math.exp(high)


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure over `n` prompts and its 95% interval; low and high are nan when the spread is not known."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference, its 95% interval and the two-sided p-value of no difference. Against random directions
    also the place of the first among the draws, from the highest (ties share one), and the p-value of that place."""

    mean: float
    low: float
    high: float
    p: float
    n: int
    rank: float = NONE
    p_rank: float = NONE


def with_figures(draws: Sequence[Figures]) -> tuple[Figures, ...]:
    """The draws that have a figure."""
    return tuple(draw for draw in draws if any(value == value for value in draw.values))


def interval(*draws: Figures) -> Interval:
    """The mean over prompts and its interval; of several draws their mean, prompts and draws being chance both."""
    found = estimate([(1.0, draws)])
    return Interval(found.mean, *found.interval(), found.n)


def difference(figures: Figures, *base: Figures) -> Difference:
    """`figures` minus `base` over the same prompts; prompts without a value on one side are left out.

    The p-value is McNemar's for two rates, else that of the interval. Several `base` are draws of random
    directions: then the question is whether `figures` may be one more draw. Draws without a figure are left out.
    """
    base = with_figures(base) or base[:1]
    found = estimate([(1.0, [figures]), (-1.0, base)])
    p = found.p()
    if len(base) == 1:
        if figures.mean == "rate" and found.n >= 2:
            p = _disagreement(figures, base[0])
        return Difference(found.mean, *found.interval(), p, found.n)
    own, others = figure(figures), [figure(each) for each in base]
    above, ties = sum(x > own for x in others), sum(x == own for x in others)
    rank, places = 1 + above + ties / 2, len(others) + 1
    p_rank = min(1.0, 2 * min(1 + above + ties, places - above) / places) if own == own else NONE
    return Difference(found.mean, *found.interval(), p, found.n, rank if own == own else NONE, p_rank)


def estimate(terms: Sequence[tuple[float, Sequence[Figures]]]) -> Estimate:
    """The sum of some figures of the same prompts, each times a number. A term has one list of values, or one for
    each draw of random directions, whose mean it stands for.

    Rates alone and in pairs have the intervals of counts; anything else that of a mean of pseudo-values.
    Beside one more term, a draw's own chance counts too: Crawford and Howell 1998, Comparing an Individual's Test
    Score Against Norms Derived from Small Samples.
    """
    import numpy as np

    lists = [figures for _, draws in terms for figures in draws]
    bounds = _summed([_times(factor, draws[0].bounds) for factor, draws in terms])
    if len({len(figures.values) for figures in lists}) > 1:
        raise ValueError("a paired difference needs the same prompts on both sides")
    there = np.all([has_value(draws).any(axis=0) for _, draws in terms], axis=0)
    n = int(there.sum())
    if n == 0:
        return Estimate(NONE, 0, why="no prompt has a value")
    made = [(factor, by_draw(draws, there)) for factor, draws in terms]
    each = [(factor, np.nanmean(values, axis=0)) for factor, values in made]
    whole = sum((factor * values for factor, values in each), np.zeros(n))
    mean = min(max(float(whole.mean()), bounds[0]), bounds[1])  # against rounding
    if all(figures.mean == "rate" for figures in lists) and len(made) <= 2 and n >= 2:
        found = Estimate(mean, n, (_of_rates(each),))
    else:
        found = of_mean(whole, mean)
    several = [(factor, values) for factor, values in made if len(values) > 1]
    if not several or not found.parts:
        return replace(found, equal=NONE if several and whole.any() else found.equal, bounds=bounds)
    chance = tuple(_of_draws(abs(factor), values, len(made) > 1) for factor, values in several)
    return replace(found, parts=(*found.parts, *chance), bounds=bounds, drawn=len(chance))


def total(estimates: Sequence[Estimate]) -> Estimate:
    """The sum of figures of different prompts."""
    if len(estimates) == 1:
        return estimates[0]
    mean, n = sum(e.mean for e in estimates), sum(e.n for e in estimates)
    unknown = next((e for e in estimates if not e.parts), None)
    if unknown is not None:
        return Estimate(mean, n, why=unknown.why)
    own = [part for e in estimates for part in e.parts[: len(e.parts) - e.drawn]]
    draws = [part for e in estimates for part in e.parts[len(e.parts) - e.drawn :]]
    return Estimate(mean, n, (*own, *draws), bounds=_summed([e.bounds for e in estimates]), drawn=len(draws))


def _together(parts: Sequence[Halves], tail: float) -> tuple[float, float]:
    found = [part(tail) for part in parts]
    return math.hypot(*(down for down, _ in found)), math.hypot(*(up for _, up in found))


def _times(factor: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """The bounds of a figure times a number; a share of 0 is 0, of infinite bounds too."""
    low, high = sorted(factor * end if factor else 0.0 for end in bounds)
    return low, high


def _summed(bounds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(low for low, _ in bounds), sum(high for _, high in bounds)


def of_mean(values: NDArray[Any], mean: float) -> Estimate:
    """The mean of values with the wider end of two intervals: Student's, which holds for few and for symmetric
    values, and Hall's, which corrects for skewness and is too narrow where most values are 0.
    Hall 1992, On the Removal of Skewness by Transformation (with the t distribution's quantiles)."""
    n = len(values)
    spread = float(values.std(ddof=1)) if n > 1 else 0.0
    if spread <= _EQUAL * float(abs(values).max()):
        same = "all prompts have the same value" if n > 1 else "one prompt has no spread"
        return Estimate(mean, n, why=same, equal=2.0 ** (1 - n) if n > 1 else NONE)
    if n < LEAST:
        return Estimate(mean, n, why=f"there are fewer than {LEAST} prompts")
    error = spread / math.sqrt(n)
    skew = float(((values - values.mean()) ** 3).mean()) / float(values.std()) ** 3 / math.sqrt(n)

    def halves(tail: float) -> tuple[float, float]:
        z = quantile(tail, n - 1)
        return error * max(z, _unskewed(z, skew)), error * max(z, -_unskewed(-z, skew))

    return Estimate(mean, n, (halves,))


def quantile(tail: float, freedom: int) -> float:
    """Student's t that is exceeded on either side with probability `tail`."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, tail / 2))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for making all these tests, in the order given; nan stays nan and does not count as a test.
    Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure."""
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    adjusted = [NONE] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def _unskewed(z: float, skew: float) -> float:
    """The inverse of Hall's transformation T + aT²/3 + a²T³/27 + a/6, where a is skewness / √n."""
    if abs(skew) < 1e-6:
        return z
    return 3 / skew * (math.cbrt(1 + skew * (z - skew / 6)) - 1)


def _of_rates(terms: Sequence[tuple[float, NDArray[Any]]]) -> Halves:
    if len(terms) == 1:
        (factor, values) = terms[0]
        return halves_of_rate(float(values.sum()), len(values), factor)
    (one, first), (two, second) = terms
    both = float((first * second).sum())
    return halves_of_two(both, float(first.sum()), float(second.sum()), len(first), one, two)


def _of_draws(factor: float, values: NDArray[Any], beside: bool) -> Halves:
    """The chance of the draws [D, n] of random directions. The variance of their means less what prompts alone
    make of it; `beside` another figure, that of one more draw as well."""
    import numpy as np

    draws, n = values.shape
    apart = values - np.nanmean(values, axis=0)  # a draw that lacks some prompts is compared on the others
    means = np.nanmean(apart, axis=1)
    cells = int((~np.isnan(values)).sum())
    noise = float(np.nansum((apart - means[:, None]) ** 2)) / max(1, cells - n - draws + 1) / (cells / draws)
    variance = max(0.0, float(means.var(ddof=1)) - noise) * (1 / draws + beside)
    error = factor * math.sqrt(variance)

    def halves(tail: float) -> tuple[float, float]:
        half = error * quantile(tail, draws - 1)
        return half, half

    return halves


def _disagreement(figures: Figures, base: Figures) -> float:
    both = [(a, b) for a, b in zip(figures.values, base.values, strict=True) if a == a and b == b]
    return mcnemar(sum(a > b for a, b in both), sum(a < b for a, b in both))
