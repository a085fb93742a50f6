"""How sure a figure is: intervals of a mean, paired differences, tests of rates, many tests at once.

In: values, one a prompt. Out: numbers. The bootstrap resamples prompts, 10 000 times by default,
with numpy's Philox generator, so that a seed gives the same interval everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steerdsl.measure.answers import NONE, Figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 2  # of the formulas below, part of every score's content key: raise it when the numbers change
SAMPLES = 10_000
LEVEL = 0.95
_CHUNK = 1_000_000  # indices drawn at a time: bounds the memory for long data sets


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure over `n` prompts and its 95% interval; low and high are nan when n < 2."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference, its 95% interval and the two-sided p-value of no difference."""

    mean: float
    low: float
    high: float
    p: float
    n: int


def interval(figures: Figures, *, seed: int = 0, samples: int = SAMPLES) -> Interval:
    """The mean over prompts and its interval: Wilson's for a rate, else the bootstrap's; nan values
    are left out."""
    values, weights = _arrays(figures)
    n = len(values)
    mean = _mean(values, weights, figures.mean)
    if n < 2:
        return Interval(mean, NONE, NONE, n)
    if figures.mean == "rate":
        return Interval(mean, *wilson(round(mean * n), n), n)
    return Interval(mean, *_percentiles(_resampled(values, weights, figures.mean, seed, samples), n), n)


def difference(figures: Figures, base: Figures, *, seed: int = 0, samples: int = SAMPLES) -> Difference:
    """`figures` minus `base` over the same prompts; prompts where either is nan are left out.

    The interval is Newcombe's for rates, else the paired bootstrap's. The p-value is McNemar's for
    rates, else that of swapping the two variants at random prompts: unlike the bootstrap's it can be
    small enough for `holm` over a sweep of 36 points.
    """
    import numpy as np

    if len(figures.values) != len(base.values):
        raise ValueError("a paired difference needs the same prompts on both sides")
    both = ~(np.isnan(figures.values) | np.isnan(base.values))
    (a, wa), (b, wb) = _arrays(figures, both), _arrays(base, both)
    n, kind = len(a), figures.mean
    gap = _mean(a, wa, kind) - _mean(b, wb, kind)
    if n < 2:
        return Difference(gap, NONE, NONE, NONE, n)
    if kind == "rate":
        first, second = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
        return Difference(gap, *newcombe(int((a * b).sum()), first, second, n), mcnemar(first, second), n)
    draws = _resampled(a, wa, kind, seed, samples) - _resampled(b, wb, kind, seed, samples)
    low, high = _percentiles(draws, n)
    swapped = _swapped(np.stack([a, b]), np.stack([wa, wb]), kind, seed, samples)
    # A hair of slack: the same swap summed in another order must count as equal.
    p = (int((abs(swapped) >= abs(gap) * (1 - 1e-9)).sum()) + 1) / (samples + 1)
    return Difference(gap, low, high, p, n)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share: honest where the bootstrap is not (0 of 15 is not [0, 0]).
    Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference."""
    z = 1.959963984540054
    share, z2 = hits / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends the formula gives 0 and 1, and rounding gives a hair beside them.
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == n else middle + half)


def newcombe(both: int, only_first: int, only_second: int, n: int) -> tuple[float, float]:
    """Newcombe's 95% interval of the difference of two paired shares, from Wilson's of each: of 12 of 12
    against 0 of 12 it is [.66, 1], where the bootstrap's is [1, 1].
    Newcombe 1998, Improved Confidence Intervals for the Difference between Binomial Proportions Based on
    Paired Data, method 10."""
    neither = n - both - only_first - only_second
    first, second = both + only_first, both + only_second
    spread = first * (n - first) * second * (n - second)
    excess: float = both * neither - only_first * only_second
    excess = max(excess - n / 2, 0) if excess > 0 else excess
    phi = excess / math.sqrt(spread) if spread else 0.0
    (low1, high1), (low2, high2) = wilson(first, n), wilson(second, n)
    share1, share2 = first / n, second / n
    down1, up1, down2, up2 = share1 - low1, high1 - share1, share2 - low2, high2 - share2
    gap = share1 - share2
    return (
        gap - math.sqrt(down1**2 - 2 * phi * down1 * up2 + up2**2),
        gap + math.sqrt(up1**2 - 2 * phi * up1 * down2 + down2**2),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of McNemar's test, from the two counts of disagreement.
    McNemar 1947, Note on the Sampling Error of the Difference Between Correlated Proportions."""
    n = only_first + only_second
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << n))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for making all these tests, in the order given; nan stays nan and is no test.
    Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure."""
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    adjusted = [NONE] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def _arrays(figures: Figures, keep: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values and weights in float64 without the nan ones (or those that `keep` says)."""
    import numpy as np

    values = np.asarray(figures.values, dtype=np.float64)
    weights = np.ones_like(values) if figures.weights is None else np.asarray(figures.weights, dtype=np.float64)
    keep = ~np.isnan(values) if keep is None else keep
    return values[keep], weights[keep]


def _mean(values: NDArray[Any], weights: NDArray[Any], kind: str) -> float:
    return float(_means(values, weights, kind)) if len(values) else NONE


def _means(values: NDArray[Any], weights: NDArray[Any], kind: str) -> NDArray[Any]:
    """The weighted mean over the last axis."""
    import numpy as np

    if kind == "geometric":
        return np.asarray(np.exp(_means(np.log(values), weights, "arithmetic")))
    return np.asarray((values * weights).sum(-1) / weights.sum(-1))


def _resampled(values: NDArray[Any], weights: NDArray[Any], kind: str, seed: int, samples: int) -> NDArray[Any]:
    """The mean of each of `samples` resamples of the prompts; the same seed and number of prompts
    give the same resamples, which is what pairs two calls."""
    import numpy as np

    n = len(values)
    return np.concatenate([_means(values[i], weights[i], kind) for i in _draws(n, n, seed, samples)])


def _swapped(values: NDArray[Any], weights: NDArray[Any], kind: str, seed: int, samples: int) -> NDArray[Any]:
    """The difference of means after swapping the two rows of `values` [2, n] at random prompts."""
    import numpy as np

    n = values.shape[1]
    every = np.arange(n)
    return np.concatenate(
        [
            _means(values[i, every], weights[i, every], kind)
            - _means(values[1 - i, every], weights[1 - i, every], kind)
            for i in _draws(2, n, seed, samples)
        ]
    )


def _draws(below: int, n: int, seed: int, samples: int) -> Iterator[NDArray[Any]]:
    """Random integers in [0, below), [rows, n] at a time, `samples` rows in all."""
    import numpy as np

    random = np.random.Generator(np.random.Philox(seed))
    step = max(1, _CHUNK // n)
    for start in range(0, samples, step):
        yield random.integers(below, size=(min(step, samples - start), n))


def _percentiles(draws: NDArray[Any], n: int) -> tuple[float, float]:
    """The bootstrap's percentile interval, widened for few prompts: plain percentiles of 15 prompts
    cover about 91% of the time. Hesterberg 2015, What Teachers Should Know About the Bootstrap,
    section 5.3 (expanded percentile interval)."""
    import numpy as np
    from scipy.special import ndtr, stdtrit

    tail = ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - LEVEL) / 2))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
