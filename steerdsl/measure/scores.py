"""From answers to a table of scores, and from two tables to the differences between them.

In: the metrics that `evaluate` names and the `Answers` of one variant on one data set. Out: `Score`s
by label, each with its interval; `Comparison`s of a steer with its baseline or control.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerdsl.lang.recipe import MetricCall
from steerdsl.measure import stats
from steerdsl.measure.answers import Answers, Figures
from steerdsl.registry import find


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
            "values": [_number(value) for value in self.figures.values],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """A steer's score minus another variant's over the same prompts. `p` is two-sided; `p_holm` is
    adjusted for all comparisons made together."""

    label: str
    difference: stats.Difference
    p_holm: float

    def to_json(self) -> dict[str, Any]:
        """As scores.json keeps it."""
        d = self.difference
        named = {"difference": d.mean, "low": d.low, "high": d.high, "p": d.p, "p_holm": self.p_holm}
        return {name: _number(value) for name, value in named.items()}


def labels(metrics: Sequence[MetricCall]) -> tuple[str, ...]:
    """What each metric is called in tables and in `scores.NAME`: its name; where a recipe uses one
    metric with several options, the options too."""
    names = [call.name for call in metrics]
    return tuple(call.name if names.count(call.name) == 1 else _with_options(call) for call in metrics)


def score(
    metrics: Sequence[MetricCall], answers: Answers, *, seed: int = 0, samples: int = stats.SAMPLES
) -> Mapping[str, Score]:
    """Compute every metric on `answers`, by label, in the order given. Raises ValueError when what
    a metric reads was not filled for every prompt."""
    table = {}
    for label, call in zip(labels(metrics), metrics, strict=True):
        figures = find("metric", call.name).run(answers, **call.options)
        if len(figures.values) != len(answers.prompts):
            raise ValueError(f"{label} has {len(figures.values)} values for {len(answers.prompts)} prompts")
        found = stats.interval(figures, seed=seed, samples=samples)
        table[label] = Score(label, found.mean, found.low, found.high, found.n, figures)
    return table


def compare(
    pairs: Sequence[tuple[Score, Score]], *, seed: int = 0, samples: int = stats.SAMPLES
) -> tuple[Comparison, ...]:
    """Compare each first score with its second, as one family of tests: the points of a sweep, say."""
    found = [stats.difference(a.figures, b.figures, seed=seed, samples=samples) for a, b in pairs]
    adjusted = stats.holm([item.p for item in found])
    return tuple(Comparison(a.label, d, p) for (a, _), d, p in zip(pairs, found, adjusted, strict=True))


def adjust(tables: Sequence[Mapping[str, Any]]) -> None:
    """Adjust the p-values of an evaluation, in place: one metric against one other variant is a family of
    tests, over the data sets and, in a sweep, over its points. `tables` are those of scores.json, one a
    point, metric -> data set -> variant -> figures."""
    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for table in tables:
        for metric, by_data in table.items():
            for by_variant in by_data.values():
                for figures in by_variant.values():
                    for other, found in figures.get("against", {}).items():
                        families.setdefault((metric, other), []).append(found)
    for family in families.values():
        adjusted = stats.holm([math.nan if found["p"] is None else found["p"] for found in family])
        for found, p in zip(family, adjusted, strict=True):
            found["p_holm"] = _number(p)


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


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
