"""From the points of a sweep to the lines of a plot.

In: a `ScoreView`. Out: one `Series` for each data set and variant, with its coordinates in the units
that the axes are named with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from steerdsl.engine.plot_data import ScoreView
from steerdsl.lang.variants import BASELINE, HELD_AGAINST, PROMPTED
from steerdsl.measure.table import Row
from steerdsl.methods.types import MethodError
from steerdsl.registry import metric_of

STEER = "steered"  # each point's own, where an axis goes over steers
UNSTEERED = (BASELINE, PROMPTED)  # what most axes of a sweep do not touch
# How the summary of a metric says what its figures are counted in.
UNITS = re.compile(r"0 to 100\b|0 to 1\b|nats a token|per 100 words")


@dataclass(frozen=True, slots=True)
class Series:
    """One variant's figures on one data set along the axes drawn, in order of coordinates.

    rest: the values of the sweep's other axes ("depth 25%"). at: coordinates, one for each axis
    drawn (none outside a sweep). mean, low, high: one for each of `at`, nan where there is none.
    n: the number of prompts behind them.
    """

    dataset: str
    variant: str
    rest: tuple[str, ...]
    at: tuple[tuple[float, ...], ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int

    @property
    def label(self) -> str:
        return ", ".join((self.dataset, self.variant, *self.rest))


def series(view: ScoreView) -> list[Series]:
    """All lines of a plot, in the order of the scores. What is not steered and the same at every value
    of the axes left out is one line.

    Raises MethodError when no steered point has a figure.
    """
    renamed = _swept_steers(view)
    found: dict[tuple[str, str, tuple[str, ...]], list[tuple[tuple[float, ...], Row]]] = {}
    for row in view.rows:
        if view.datasets and row.data not in view.datasets:
            continue
        at = tuple(_coordinate(view, axis, row.at[axis]) for axis in view.over)
        variant = row.variant if row.variant not in renamed else STEER
        rest = tuple(f"{axis} {label}" for axis, label in row.at.items() if axis not in view.over)
        found.setdefault((row.data, variant, rest), []).append((at, row))
    lines = [_line(*key, points) for key, points in found.items()]
    if all(math.isnan(mean) for line in lines if line.variant not in UNSTEERED for mean in line.mean):
        raise MethodError(f"{view.metric} has no figures to draw", "plot a metric that these data sets give")
    return _merged(lines)


def _line(dataset: str, variant: str, rest: tuple[str, ...], points: Sequence[tuple[tuple[float, ...], Row]]) -> Series:
    ordered = sorted(points, key=lambda point: point[0])
    at = tuple(point[0] for point in ordered)
    mean, low, high = (tuple(_number(getattr(row, name)) for _, row in ordered) for name in ("mean", "low", "high"))
    return Series(dataset, variant, rest, at, mean, low, high, max(row.n for _, row in ordered))


def _merged(lines: Sequence[Series]) -> list[Series]:
    """The unsteered know nothing of most axes: those of a data set that agree become one."""
    merged: list[Series] = []
    for line in lines:
        own = (line.dataset, line.variant)
        twins = [o for o in lines if (o.dataset, o.variant) == own] if line.variant in UNSTEERED else []
        if len(twins) > 1 and all((o.at, o.mean) == (line.at, line.mean) for o in twins):
            line = replace(line, rest=())
            if any((o.dataset, o.variant) == own for o in merged):
                continue
        merged.append(line)
    return merged


def words_of(view: ScoreView) -> tuple[str, ...]:
    """The axes to draw along whose values are words."""
    return tuple(axis for axis in view.over if (axis, view.rows[0].at[axis]) not in view.numbers)


def labels_of(view: ScoreView, axis: str) -> list[str]:
    """The values of an axis in the order of the points."""
    return list(dict.fromkeys(row.at[axis] for row in view.rows))


def _coordinate(view: ScoreView, axis: str, label: str) -> float:
    """Where a value of an axis is; of words, their place in the order of the points."""
    number = view.numbers.get((axis, label))
    return float(labels_of(view, axis).index(label)) if number is None else _scaled(label, number)


def _swept_steers(view: ScoreView) -> set[str]:
    """The steers of an axis over steers: what they have in common is a series, whose points they are."""
    return {v for row in view.rows if (v := row.variant) in row.at.values() and v not in HELD_AGAINST}


def axis_name(view: ScoreView, axis: str) -> str:
    """`angle (degrees)`, `depth (%)`, `rounds`."""
    label = view.rows[0].at[axis]
    unit = "%" if label.endswith("%") else "degrees" if label.endswith(("deg", "rad", "turn")) else ""
    return f"{axis} ({unit})" if unit else axis


def metric_name(metric: str) -> str:
    """`bleu (0 to 100)`: a metric with what it is counted in, where its summary says so."""
    entry = metric_of(metric)
    unit = UNITS.search(entry.summary) if entry else None
    return f"{metric} ({unit[0]})" if unit else metric


def _scaled(label: str, number: float) -> float:
    return number * 100 if label.endswith("%") else number


def _number(value: float | None) -> float:
    return math.nan if value is None else value
