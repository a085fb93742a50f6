"""From answers to a table of scores, and from two tables to the differences between them.

In: the metrics that `evaluate` names and the `Answers` of one variant on one data set. Out: `Score`s
by label, each with its interval; the tables of scores.json, with a steer's differences from the others.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from steerdsl.lang.recipe import MetricCall
from steerdsl.lang.variants import RANDOM
from steerdsl.measure import stats
from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.registry import entries, find


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

    def to_json(self) -> dict[str, Any]:
        """As scores.json keeps it; nan and infinity, which JSON lacks, are null, and `reason` says why there is one."""
        whole = self.n == len(self.figures.values)
        return {
            "mean": _number(self.mean),
            "low": _number(self.low),
            "high": _number(self.high),
            "n": self.n,
            "reason": None if whole else self.figures.reason,
            **_values(self.figures),
        }


def labels(metrics: Sequence[MetricCall]) -> tuple[str, ...]:
    """What each metric is called in tables and in `scores.NAME`: its name; where a recipe uses one
    metric with several options, the options too."""
    names = [call.name for call in metrics]
    return tuple(call.name if names.count(call.name) == 1 else _with_options(call) for call in metrics)


def score(metrics: Sequence[MetricCall], answers: Answers) -> Mapping[str, Score]:
    """Compute every metric on `answers`, by label, in the order given. Raises ValueError when what
    a metric reads was not filled for every prompt."""
    table = {}
    for label, call in zip(labels(metrics), metrics, strict=True):
        figures = _bounded(call.name, find("metric", call.name).run(answers, **call.options))
        if len(figures.values) != len(answers.prompts):
            raise ValueError(f"{label} has {len(figures.values)} values for {len(answers.prompts)} prompts")
        found = stats.interval(figures)
        table[label] = Score(label, found.mean, found.low, found.high, found.n, figures)
    return table


def _bounded(metric: str, figures: Figures) -> Figures:
    """Figures that know their bounds, where they have any. Values that leave them are a fault of the metric, and a
    ValueError, unless it is rounding."""
    found = _bounds(metric, figures.mean)
    values = [min(max(value, found[0]), found[1]) if value == value else value for value in figures.values]
    for value, kept in zip(figures.values, values, strict=True):
        if abs(value - kept) > 1e-6 * max(1.0, abs(kept)):
            raise ValueError(f"{metric} is {value}, and can be from {found[0]} to {found[1]}")
    return replace(figures, values=values, bounds=found)


def _bounds(metric: str, mean: str) -> tuple[float, float]:
    """What a value of a metric, by its label, can be."""
    if mean == "rate":
        return 0.0, 1.0
    entry = entries("metric").get(metric.partition("(")[0])
    least, most = (None, None) if entry is None else (entry.least, entry.most)
    return -math.inf if least is None else least, math.inf if most is None else most


def tabled(scores: Mapping[str, Sequence[Mapping[str, Score]]], steer: str) -> dict[str, dict[str, Any]]:
    """Variant -> draws -> metric -> score as metric -> variant -> figures; the steer's have its differences
    from every other variant under "against". All variants but the random one have one draw."""
    table: dict[str, dict[str, Any]] = {}
    for label, own in scores[steer][0].items():
        table[label] = {name: _line(name, [found[label] for found in draws]) for name, draws in scores.items()}
        table[label][steer]["against"] = {
            name: _against(own, name, [found[label] for found in draws])
            for name, draws in scores.items()
            if name != steer
        }
    return table


def _line(name: str, draws: Sequence[Score]) -> dict[str, Any]:
    """The figures of a variant: of the random one the mean over its draws, their spread, and each of them."""
    if name != RANDOM:
        return draws[0].to_json()
    found = stats.interval(*(draw.figures for draw in draws))
    several = [draw.mean for draw in draws if draw.mean == draw.mean]
    columns = zip(*(draw.figures.values for draw in draws), strict=True)
    return {
        "mean": _number(found.mean),
        "low": _number(found.low),
        "high": _number(found.high),
        "n": found.n,
        "reason": None if found.n == len(draws[0].figures.values) else draws[0].figures.reason,
        "values": [_number(_mean_of_known(column)) for column in columns],
        "spread": statistics.stdev(several) if len(several) > 1 else None,
        "draws": [{"mean": _number(draw.mean), **_values(draw.figures)} for draw in draws],
    }


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else NONE


def _against(own: Score, name: str, draws: Sequence[Score]) -> dict[str, float | None]:
    """A steer's figure minus another variant's, over the same prompts. `p_holm` is set by `adjust`."""
    d = stats.difference(own.figures, *(draw.figures for draw in draws))
    if name == RANDOM and len(draws) == 1:  # `stats.ONE_DRAW`
        d = stats.Difference(d.mean, NONE, NONE, NONE, d.n)
    named = {"difference": d.mean, "low": d.low, "high": d.high, "p": d.p, "p_holm": d.p}
    if len(draws) > 1:
        named |= {"rank": d.rank, "p_rank": d.p_rank, "draws": len(draws)}
    return {name: _number(value) for name, value in named.items()}


def adjust(tables: Sequence[Mapping[str, Any]]) -> None:
    """Adjust the p-values of an evaluation, in place. Everything that it compares is one family of tests: all
    metrics, other variants and data sets, and in a sweep all points. `tables` are those of scores.json, one a
    point, metric -> data set -> variant -> figures."""
    family = [
        found
        for table in tables
        for by_data in table.values()
        for by_variant in by_data.values()
        for figures in by_variant.values()
        for found in figures.get("against", {}).values()
    ]
    adjusted = stats.holm([math.nan if found["p"] is None else found["p"] for found in family])
    for found, p in zip(family, adjusted, strict=True):
        found["p_holm"] = _number(p)


def figures_of(metric: str, line: Mapping[str, Any]) -> tuple[Figures, ...]:
    """The values behind a variant's figures in scores.json, one a draw, of a metric by its label."""
    return tuple(
        Figures(
            [math.nan if value is None else value for value in draw["values"]],
            draw["average"],
            draw.get("weights"),
            bounds=_bounds(metric, draw["average"]),
        )
        for draw in line.get("draws", [line])
    )


def unmade(table: Mapping[str, Any]) -> Iterator[str]:
    """A line for each figure that could not be made, metric by metric and data set by data set. `table` is that
    of scores.json, metric -> data set -> variant -> figures."""
    for metric, by_data in table.items():
        for data, by_variant in by_data.items():
            for reason in dict.fromkeys(f["reason"] for f in by_variant.values() if f.get("reason")):
                some = " for some answers" if any(f["n"] for f in by_variant.values()) else ""
                yield f"{metric} of {data} has no figure{some}: {reason}"


def _with_options(call: MetricCall) -> str:
    options = ", ".join(f"{key}: {value}" for key, value in call.options.items())
    return f"{call.name}({options})" if options else call.name


def _values(figures: Figures) -> dict[str, Any]:
    """What is behind a figure, and how it is averaged."""
    weights = {} if figures.weights is None else {"weights": [_number(weight) for weight in figures.weights]}
    return {"values": [_number(value) for value in figures.values], "average": figures.mean, **weights}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
