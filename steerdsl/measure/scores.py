"""From answers to a table of scores, and from two tables to the differences between them.

In: the metrics that `evaluate` names and the `Answers` of one variant on one data set. Out: `Score`s
by label, each with its interval; rows of the table of figures, with a steer's differences from the others.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from steerdsl.lang.columns import labels
from steerdsl.lang.recipe import MetricCall
from steerdsl.lang.variants import RANDOM
from steerdsl.measure import stats
from steerdsl.measure.answers import ANYTHING, NONE, Answers, Figures
from steerdsl.measure.table import Draw, Gap, Row, Table, bounds
from steerdsl.registry import find

# What metrics need that read no text of an answer: tokens as they were made, and the data set's own text.
TEXTLESS = frozenset({"letters", "text", "harness", "kl", "answer", "ended"})


@dataclass(frozen=True, slots=True)
class Score:
    """One metric on one set of answers: the mean over prompts, its 95% interval, and the values
    behind it (nan where a prompt has none; `n` counts the others)."""

    label: str
    mean: float
    low: float
    high: float
    n: int
    figures: Figures


def score(metrics: Sequence[MetricCall], answers: Answers) -> Mapping[str, Score]:
    """Compute every metric on `answers`, by label, in the order given. Raises ValueError when what
    a metric reads was not filled for every prompt."""
    table = {}
    for label, call in zip(labels(metrics), metrics, strict=True):
        figures = _bounded(call.name, find("metric", call.name).run(answers, **call.options))
        figures = _readable(call.name, figures, answers.unread)
        if len(figures.values) != len(answers.prompts):
            raise ValueError(f"{label} has {len(figures.values)} values for {len(answers.prompts)} prompts")
        found = stats.interval(figures)
        table[label] = Score(label, found.mean, found.low, found.high, found.n, figures)
    return table


def _bounded(metric: str, figures: Figures) -> Figures:
    """Figures that know their bounds, where they have any. Values that leave them are a fault of the metric, and a
    ValueError, unless it is rounding."""
    found = bounds(metric, figures.mean) if figures.bounds == ANYTHING else figures.bounds
    values = [min(max(value, found[0]), found[1]) if value == value else value for value in figures.values]
    for value, kept in zip(figures.values, values, strict=True):
        if abs(value - kept) > 1e-6 * max(1.0, abs(kept)):
            raise ValueError(f"{metric} is {value}, and can be from {found[0]} to {found[1]}")
    return replace(figures, values=values, bounds=found)


def _readable(metric: str, figures: Figures, unread: Sequence[str | None]) -> Figures:
    """The figures of a metric that reads texts, without those of answers that have none."""
    if not any(unread) or find("metric", metric).needs & TEXTLESS:
        return figures
    each = list(zip(figures.values, unread, strict=True))
    reasons = [next(filter(None, unread))]
    if figures.reason is not None and any(value != value and not why for value, why in each):
        reasons.append(figures.reason)
    return replace(figures, values=[NONE if why else value for value, why in each], reason="; or ".join(reasons))


def tabled(scores: Mapping[str, Sequence[Mapping[str, Score]]], steer: str, data: str) -> list[Row]:
    """Variant -> draws -> metric -> score on one data set as rows, metric by metric; the steer's have its
    differences from every other variant. All variants but the random one have one draw."""
    rows = []
    for label, own in scores[steer][0].items():
        found = {name: [draw[label] for draw in draws] for name, draws in scores.items()}
        for name, draws in found.items():
            row = _row((label, data, name), draws)
            if name == steer:
                row = replace(row, against={o: _against(own, o, each) for o, each in found.items() if o != steer})
            rows.append(row)
    return rows


def _row(names: tuple[str, str, str], draws: Sequence[Score]) -> Row:
    """The figures of a variant: of the random one the mean over its draws, their spread, and each of them."""
    found = draws[0] if len(draws) == 1 else stats.interval(*(draw.figures for draw in draws))
    made, first = tuple(map(_draw, draws)), draws[0].figures
    known = (found.n, None if found.n == len(first.values) else first.reason)
    ends = (_number(found.mean), _number(found.low), _number(found.high))
    own = None if first.bounds == bounds(names[0], first.mean) else first.bounds
    if names[-1] != RANDOM:
        return Row(*names, *ends, *known, made[0].values, made[0].average, made[0].weights, bounds=own)
    several = [draw.mean for draw in draws if draw.mean == draw.mean]
    spread = statistics.stdev(several) if len(several) > 1 else None
    columns = zip(*(draw.figures.values for draw in draws), strict=True)
    return Row(*names, *ends, *known, _numbers(map(_mean_of_known, columns)), spread=spread, draws=made, bounds=own)


def _draw(score: Score) -> Draw:
    figures = score.figures
    weights = None if figures.weights is None else _numbers(figures.weights)
    return Draw(_number(score.mean), _numbers(figures.values), figures.mean, weights)


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else NONE


def _against(own: Score, name: str, draws: Sequence[Score]) -> Gap:
    """A steer's figure minus another variant's, over the same prompts. `p_holm` is set by `adjust`."""
    d = stats.difference(own.figures, *(draw.figures for draw in draws))
    known = len(stats.with_figures([draw.figures for draw in draws]))
    if name == RANDOM and known <= 1:  # `stats.ONE_DRAW`
        d = stats.Difference(d.mean, NONE, NONE, NONE, d.n)
    mean, low, high, p, rank, p_rank = map(_number, (d.mean, d.low, d.high, d.p, d.rank, d.p_rank))
    return Gap(mean, low, high, p, p, rank, p_rank, known if known > 1 else None)


def adjust(rows: Sequence[Row]) -> list[Row]:
    """The rows of an evaluation with p-values adjusted. Everything that it compares is one family of tests: all
    metrics, other variants and data sets, and in a sweep all points."""
    family = [math.nan if gap.p is None else gap.p for row in rows for gap in row.against.values()]
    adjusted = iter(stats.holm(family))
    return [
        replace(row, against={o: replace(gap, p_holm=_number(next(adjusted))) for o, gap in row.against.items()})
        for row in rows
    ]


def unmade(table: Table) -> Iterator[str]:
    """A line for each figure of an evaluation that could not be made, metric by metric and data set by data set."""
    for metric, by_metric in table.by("metric").items():
        for data, rows in by_metric.by("data").items():
            some = " for some answers" if any(row.n for row in rows) else ""
            for reason in filter(None, rows.names("reason")):
                yield f"{metric} of {data} has no figure{some}: {reason}"


def _numbers(values: Iterable[float]) -> list[float | None]:
    return list(map(_number, values))


def _number(value: float) -> float | None:
    """None for nan and infinity, which JSON lacks; `reason` says why there is one."""
    return value if math.isfinite(value) else None
