"""How well coordinates along a direction tell two classes apart: means, spreads, AUROC and accuracy.

In: one coordinate a prompt. Out: rows of the table of figures. AUROC is the chance that a prompt with the concept lies
higher than one without it, ties counting half; its interval is Newcombe's (2006, method 5), which holds for classes
that are wholly apart, too. What claims are judged by are its pseudo-values, whose variance is DeLong's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steerdsl.measure import stats
from steerdsl.measure.answers import Figures
from steerdsl.measure.table import Row

Values = NDArray[Any]
NORMAL = 1.959963984540054  # of a two-sided 95%
NO_MEANS = "the direction has no class means, between which the threshold of an accuracy lies"


def one_class(data: str, vector: str, values: Sequence[float]) -> list[Row]:
    """Mean and standard deviation of one class."""
    return [_mean("mean", data, vector, values), _spread("sd", data, vector, values)]


def two_classes(
    data: str, vector: str, positive: Sequence[float], negative: Sequence[float], threshold: float | None
) -> list[Row]:
    """Means and standard deviations of both classes, AUROC, and the share of prompts on the right side of
    `threshold`, None where there is none."""
    value, behind = auroc(positive, negative)
    low, high = auroc_interval(value, len(positive), len(negative))
    rows = [
        _mean("mean_positive", data, vector, positive),
        _mean("mean_negative", data, vector, negative),
        _spread("sd_positive", data, vector, positive),
        _spread("sd_negative", data, vector, negative),
        Row("auroc", data, vector, value, low, high, len(behind), values=behind),
    ]
    if threshold is None:
        return [*rows, Row("accuracy", data, vector, reason=NO_MEANS)]
    right = [float(x > threshold) for x in positive] + [float(x <= threshold) for x in negative]
    return [*rows, _row("accuracy", data, vector, Figures(right, "rate"))]


def auroc(positive: Sequence[float], negative: Sequence[float]) -> tuple[float, list[float]]:
    """The area under the curve, and a pseudo-value for each prompt, those with the concept first. Their mean is the
    area, and the variance of this mean DeLong's."""
    p, n = np.asarray(positive, float), np.asarray(negative, float)
    above, below = _placed(p, np.sort(n)), 1 - _placed(n, np.sort(p))
    value, total = float(above.mean()), len(p) + len(n)
    parts = (value + total / len(own) * (own - value) for own in (above, below))
    return value, np.concatenate([*parts]).tolist()


def _placed(values: Values, others: Values) -> Values:
    """The share of `others`, which are sorted, below each value, ties counting half."""
    return (np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")) / (2 * len(others))


def auroc_interval(value: float, positive: int, negative: int) -> tuple[float, float]:
    """Newcombe's 95% interval: the areas from which the one found lies at most 1.96 of their own standard errors."""

    def apart(area: float) -> float:
        half = (positive + negative) / 2 - 1
        among = 1 + half * ((1 - area) / (2 - area) + area / (1 + area))
        return abs(value - area) - NORMAL * math.sqrt(max(area * (1 - area) * among, 0.0) / (positive * negative))

    return _border(apart, value, 0.0), _border(apart, value, 1.0)


def _border(apart: Any, inside: float, end: float) -> float:
    """Where `apart` changes its sign between a value that is inside and an end, which may be inside as well."""
    inner, outer = inside, end
    if apart(outer) <= 0:
        return outer
    for _ in range(60):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if apart(middle) <= 0 else (inner, middle)
    return (inner + outer) / 2


def _mean(metric: str, data: str, vector: str, values: Sequence[float]) -> Row:
    return _row(metric, data, vector, Figures(list(values)))


def _row(metric: str, data: str, vector: str, figures: Figures) -> Row:
    found = stats.interval(figures)
    low, high = (None if math.isnan(end) else end for end in (found.low, found.high))
    return Row(metric, data, vector, found.mean, low, high, found.n, values=figures.values, average=figures.mean)


def _spread(metric: str, data: str, vector: str, values: Sequence[float]) -> Row:
    if len(values) < 2:
        return Row(metric, data, vector, n=len(values), reason="one prompt has no spread")
    return Row(metric, data, vector, float(np.std(values, ddof=1)), n=len(values))
