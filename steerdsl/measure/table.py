"""All figures of a run as one table: a row for each evaluation, point of a sweep, metric, data set and variant.

In: rows as they are scored, or scores.json as it was read. Out: rows to select and to pivot; scores.json and
scores.csv. docs/run-directory.md says what each value means.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from steerdsl.measure.answers import Figures
from steerdsl.registry import metric_of

Number = float | None  # None where there is none, as null in scores.json
At = Mapping[str, str]  # a point of a sweep, axis by axis; empty outside
K = TypeVar("K", bound=Hashable)
COLUMNS = (
    *("metric", "data", "variant", "against", "value", "low", "high", "n", "p", "p_holm", "rank", "draws", "spread"),
    "reason",
)


@dataclass(frozen=True, slots=True)
class Gap:
    """A steer's figure minus another variant's, over the same prompts; against several `draws` of random
    directions also its place among them."""

    difference: Number = None
    low: Number = None
    high: Number = None
    p: Number = None
    p_holm: Number = None
    rank: Number = None
    p_rank: Number = None
    draws: int | None = None


@dataclass(frozen=True, slots=True)
class Draw:
    """A mean and what is behind it: one value a prompt, how they are averaged, the tokens behind each."""

    mean: Number = None
    values: Sequence[Number] = ()
    average: Any = "arithmetic"
    weights: Sequence[Number] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A figure with its interval, over the `n` of its prompts that have a value; `reason` says why others have none.

    draws: of `random` one for each of its directions, over which its figure and values are means and `spread` is the
    standard deviation. against: a steer's differences from other variants. failed: why this point of a sweep failed.
    bounds: what a value can be, where the metric's options say it.
    """

    metric: str
    data: str
    variant: str
    mean: Number = None
    low: Number = None
    high: Number = None
    n: int = 0
    reason: str | None = None
    values: Sequence[Number] = ()
    average: Any = "arithmetic"
    weights: Sequence[Number] | None = None
    spread: Number = None
    draws: tuple[Draw, ...] = ()
    against: Mapping[str, Gap] = field(default_factory=dict)
    evaluation: str = ""
    at: At = field(default_factory=dict)
    failed: str | None = None
    bounds: tuple[float, float] | None = None

    def figures(self) -> tuple[Figures, ...]:
        """What the figure is computed from, one a draw."""
        behind = self.draws or (Draw(self.mean, self.values, self.average, self.weights),)
        return tuple(
            Figures(
                [math.nan if value is None else value for value in draw.values],
                draw.average,
                None if draw.weights is None else [math.nan if weight is None else weight for weight in draw.weights],
                bounds=self.bounds or bounds(self.metric, draw.average),
            )
            for draw in behind
        )

    @property
    def known_draws(self) -> list[float]:
        """The figures of the draws that have one."""
        return [draw.mean for draw in self.draws if draw.mean is not None]

    def blank(self, at: At, failed: str) -> Row:
        """The same at a point that failed, where there is no figure and no comparison."""
        nothing, names = [None] * len(self.values), (self.metric, self.data, self.variant)
        draws = (Draw(None, nothing, None),) * len(self.draws)
        return Row(*names, values=nothing, average=None, draws=draws, evaluation=self.evaluation, at=at, failed=failed)


class Table(tuple[Row, ...]):
    """Rows, in the order in which they are shown."""

    def select(self, **wanted: str) -> Table:
        """The rows that have these values."""
        return Table(row for row in self if all(getattr(row, name) == value for name, value in wanted.items()))

    def names(self, column: str) -> list[str]:
        """The different values of a column."""
        return list(dict.fromkeys(getattr(row, column) for row in self))

    def by(self, column: str) -> dict[str, Table]:
        """The rows of each value of a column."""
        return _grouped(self, lambda row: str(getattr(row, column)))

    def pivot(self, down: str, across: str) -> dict[str, dict[str, Row]]:
        """For each value of one column the row of each value of another one."""
        return {name: {getattr(row, across): row for row in rows} for name, rows in self.by(down).items()}

    def one(self, metric: str, data: str, variant: str | None) -> Row | None:
        """The row of a metric, a data set and a variant."""
        return self._by_key.get((metric, data, variant))

    @cached_property
    def _by_key(self) -> Mapping[tuple[str, str, str | None], Row]:
        return {(row.metric, row.data, row.variant): row for row in self}

    @cached_property
    def evaluations(self) -> Mapping[str, Table]:
        """The rows of each evaluation."""
        return self.by("evaluation")

    @cached_property
    def points(self) -> Mapping[Point, Table]:
        """The rows of each point of a sweep; outside of sweeps there is one point, without axes."""
        return _grouped(self, lambda row: point(row.at))

    def put(self, evaluation: str, rows: Iterable[Row]) -> Table:
        """The table with the rows of an evaluation replaced by these."""
        found = {**self.evaluations, evaluation: tuple(rows)}
        return Table(row for own in found.values() for row in own)

    def without(self, evaluations: Iterable[str]) -> Table:
        """The rows of all other evaluations."""
        left_out = set(evaluations)
        return Table(row for row in self if row.evaluation not in left_out)

    @property
    def swept(self) -> bool:
        """Whether the rows are of a sweep."""
        return bool(self and self[0].at)

    def to_json(self) -> dict[str, Any]:
        """What scores.json says, as plain values."""
        return {
            name: {"points": list(map(_point, rows.points.values()))} if rows.swept else nested(rows)
            for name, rows in self.evaluations.items()
        }

    def to_csv(self) -> str:
        """The text of scores.csv: a line for each figure and each difference, a column for each axis of a sweep."""
        axes = dict.fromkeys(axis for row in self for axis in row.at)
        out = io.StringIO()
        lines = csv.DictWriter(out, ("evaluation", *(f"at {axis}" for axis in axes), *COLUMNS))
        lines.writeheader()
        lines.writerows({name: _cell(value) for name, value in line.items()} for line in self.lines())
        return out.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        """A line for each figure and each difference, as scores.csv has them."""
        return [line for row in self for line in _lines(row)]


Point = tuple[tuple[str, str], ...]


def point(at: At) -> Point:
    """What identifies a point, in any order of its axes."""
    return tuple(sorted(at.items()))


def said(at: At) -> str:
    """A point in words, as `angle 30deg, depth 25%`; empty outside of sweeps."""
    return ", ".join(f"{axis} {label}" for axis, label in at.items())


def bounds(metric: str, average: str) -> tuple[float, float]:
    """What a value of a metric, by its label, can be."""
    if average == "rate":
        return 0.0, 1.0
    entry = metric_of(metric)
    least, most = (None, None) if entry is None else (entry.least, entry.most)
    return -math.inf if least is None else least, math.inf if most is None else most


def of_json(scores: Mapping[str, Any]) -> Table:
    """The table of scores.json, whose form was checked; what older versions did not write is left at its default."""
    return Table(
        replace(row, evaluation=name, at=found["at"], failed=found.get("failed"))
        for name, entry in scores.items()
        for found in entry.get("points", [{"at": {}, "scores": entry}])
        for row in of_nested(found["scores"])
    )


def of_nested(table: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of metric -> data set -> variant -> figures."""
    for metric, by_data in table.items():
        for data, by_variant in by_data.items():
            for variant, line in by_variant.items():
                draws = tuple(Draw(**_some(draw, _DRAW)) for draw in line.get("draws", ()))
                against = {other: Gap(**_some(gap, _GAP)) for other, gap in line.get("against", {}).items()}
                own = tuple(line["bounds"]) if "bounds" in line else None
                yield Row(metric, data, variant, **_some(line, _ROW), draws=draws, against=against, bounds=own)


def nested(rows: Iterable[Row]) -> dict[str, Any]:
    """metric -> data set -> variant -> figures, as scores.json has them."""
    table: dict[str, Any] = {}
    for row in rows:
        table.setdefault(row.metric, {}).setdefault(row.data, {})[row.variant] = _line(row)
    return table


_DRAW = ("mean", "values", "average", "weights")
_FIGURE = ("mean", "low", "high", "n", "reason", "values")
_ROW = (*_FIGURE, "average", "weights", "spread")
_GAP = ("difference", "low", "high", "p", "p_holm", "rank", "p_rank", "draws")


def _some(found: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: found[name] for name in names if name in found}


def _line(row: Row) -> dict[str, Any]:
    line = {name: getattr(row, name) for name in _FIGURE}
    line |= {"spread": row.spread, "draws": list(map(_draw, row.draws))} if row.draws else _behind(row)
    if row.bounds:
        line["bounds"] = list(row.bounds)
    if row.against:
        line["against"] = {other: _gap(gap) for other, gap in row.against.items()}
    return line


def _behind(row: Row | Draw) -> dict[str, Any]:
    return {"average": row.average, **({} if row.weights is None else {"weights": row.weights})}


def _draw(draw: Draw) -> dict[str, Any]:
    return {"mean": draw.mean, "values": draw.values, **_behind(draw)}


def _gap(gap: Gap) -> dict[str, Any]:
    """A difference; its rank where there is one among several draws."""
    return {name: value for name, value in asdict(gap).items() if name in _GAP[:5] or gap.draws is not None}


def _point(rows: Table) -> dict[str, Any]:
    return {"at": dict(rows[0].at), "scores": nested(rows), "failed": rows[0].failed}


def _lines(row: Row) -> Iterator[dict[str, Any]]:
    """The lines of a row in scores.csv: its figure, and each difference from another variant."""
    named = {"evaluation": row.evaluation, **{f"at {axis}": label for axis, label in row.at.items()}}
    named |= {name: getattr(row, name) for name in ("metric", "data", "variant")}
    own = {"value": row.mean, "low": row.low, "high": row.high, "n": row.n, "spread": row.spread}
    yield named | own | {"draws": len(row.draws) or None, "reason": row.failed or row.reason}
    for other, gap in row.against.items():
        found = asdict(gap)
        yield named | {"against": other, "value": found.pop("difference")} | _some(found, COLUMNS)


def _cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula; numbers as they are, and nothing for what there is not."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "@", "+", "\t", "\r")) else value


def _grouped(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, Table]:
    found: dict[K, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return {name: Table(own) for name, own in found.items()}
