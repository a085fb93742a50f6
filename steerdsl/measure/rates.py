"""Intervals of rates, from counts: of one, and of two that were measured on the same prompts.

In: counts. Out: how far an interval reaches down and up. Counts may be fractions, the mean over several draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Z = 1.959963984540054  # of a 95% interval


def wilson(hits: float, n: int, z: float = Z) -> tuple[float, float]:
    """Wilson's interval of a share, of 95% unless `z` says otherwise; of 0 of 15 it is not [0, 0].
    Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference."""
    share, z2 = hits / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(max(0.0, share * (1 - share)) / n + z2 / (4 * n * n))
    # At the ends the formula gives 0 and 1, and rounding gives a value just off them.
    return (0.0 if hits <= 0 else middle - half), (1.0 if hits >= n else middle + half)


def newcombe(both: float, only_first: float, only_second: float, n: int, z: float = Z) -> tuple[float, float]:
    """Newcombe's interval of the difference of two paired shares, from Wilson's of each: of 12 of 12 against 0 of
    12 it is [.66, 1].
    Newcombe 1998, Improved Confidence Intervals for the Difference between Binomial Proportions Based on
    Paired Data, method 10."""
    first, second = both + only_first, both + only_second
    down, up = _two(both, first, second, n, 1.0, -1.0, z)
    gap = (first - second) / n
    return gap - down, gap + up


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of McNemar's test, from the two counts of disagreement.
    McNemar 1947, Note on the Sampling Error of the Difference Between Correlated Proportions."""
    n = only_first + only_second
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << n))


def halves_of_rate(hits: float, n: int, factor: float = 1.0) -> Callable[[float], tuple[float, float]]:
    """The reach of Wilson's interval of a share times `factor`, by the probability of missing it."""
    return lambda tail: _scaled(hits, n, factor, _z(tail))


def halves_of_two(
    both: float, first: float, second: float, n: int, one: float, two: float
) -> Callable[[float], tuple[float, float]]:
    """The reach of the interval of `one` times a first share plus `two` times a second one: Newcombe's where these
    are 1 and -1. `first` and `second` are all hits of each."""
    return lambda tail: _two(both, first, second, n, one, two, _z(tail))


def least_gap(n: int, level: float) -> float | None:
    """The smallest difference of two rates that n prompts can settle at this level at best: when no prompt goes
    against it. None when they can settle none."""
    z = _z(1 - level)
    for gap in range(1, n + 1):
        if any(newcombe(both, gap, 0, n, z)[0] > 0 for both in range(n - gap + 1)):
            return gap / n
    return None


def _two(both: float, first: float, second: float, n: int, one: float, two: float, z: float) -> tuple[float, float]:
    spread = first * (n - first) * second * (n - second)
    neither = n - first - second + both
    excess = both * neither - (first - both) * (second - both)
    excess = max(excess - n / 2, 0.0) if excess > 0 else excess
    related = math.copysign(excess / math.sqrt(spread) if spread > 0 else 0.0, excess * one * two)
    (down1, up1), (down2, up2) = _scaled(first, n, one, z), _scaled(second, n, two, z)
    return (
        math.sqrt(max(0.0, down1**2 + 2 * related * down1 * down2 + down2**2)),
        math.sqrt(max(0.0, up1**2 + 2 * related * up1 * up2 + up2**2)),
    )


def _scaled(hits: float, n: int, factor: float, z: float) -> tuple[float, float]:
    """How far Wilson's interval reaches down and up, of the share times a number."""
    low, high = wilson(hits, n, z)
    down, up = factor * (hits / n - low), factor * (high - hits / n)
    return (down, up) if factor >= 0 else (-up, -down)


def _z(tail: float) -> float:
    from scipy.special import ndtri

    return -float(ndtri(tail / 2))
