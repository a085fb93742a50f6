"""Pseudo-values: one number a prompt whose plain mean is a figure, also where the figure is a ratio.

In: figures, one value a prompt, nan where a prompt has none. Out: arrays in float64 for `stats`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steerdsl.measure.answers import NONE, Figures

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pseudo_values(figures: Figures, keep: Any = None) -> NDArray[Any]:
    """Values whose plain mean is the figure and whose spread is its own: the values themselves, and for a ratio (a
    mean over tokens) or a geometric mean those of the jackknife, moved onto the figure.
    Tukey 1958, Bias and Confidence in Not-quite Large Samples."""
    import numpy as np

    values, weights = _arrays(figures, keep)
    n, geometric = len(values), figures.mean == "geometric"
    if n < 2 or (figures.weights is None and not geometric):
        return values if not geometric or n == 0 else np.exp(np.log(values))
    values = np.log(values) if geometric else values
    sums, count = (values * weights).sum(), weights.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, without = sums / count, (sums - values * weights) / (count - weights)
    if geometric:
        mean, without = np.exp(mean), np.exp(without)
    found = n * mean - (n - 1) * without
    found = found - found.mean() + mean
    return found if np.isfinite(found).all() else np.full(n, mean)


def figure(figures: Figures) -> float:
    """The figure over all prompts that have a value."""
    values = pseudo_values(figures)
    return float(values.mean()) if len(values) else NONE


def has_value(draws: Sequence[Figures]) -> NDArray[Any]:
    """Which prompts have a value in which draw: [D, n]."""
    import numpy as np

    return ~np.isnan(np.asarray([figures.values for figures in draws], dtype=np.float64))


def by_draw(draws: Sequence[Figures], keep: NDArray[Any]) -> NDArray[Any]:
    """The pseudo-values of each draw that has any, [D, n], at the prompts that are kept; nan where it lacks one."""
    import numpy as np

    found = []
    for figures, there in zip(draws, has_value(draws) & keep, strict=True):
        if there.any():
            row = np.full(len(keep), NONE)
            row[there] = pseudo_values(figures, there)
            found.append(row[keep])
    return np.stack(found)


def _arrays(figures: Figures, keep: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values and weights in float64 without the nan ones (or those that `keep` says)."""
    import numpy as np

    values = np.asarray(figures.values, dtype=np.float64)
    weights = np.ones_like(values) if figures.weights is None else np.asarray(figures.weights, dtype=np.float64)
    keep = ~np.isnan(values) if keep is None else keep
    return values[keep], weights[keep]
