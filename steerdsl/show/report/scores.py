"""The scores of a run: tables with intervals and controls, sweeps with curves.

In: scores.json. Out: a section of the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from steerdsl.lang.variants import BASELINE, HELD_AGAINST, in_order, steered
from steerdsl.measure.table import Row, Table
from steerdsl.show.points import one_baseline, words_of
from steerdsl.show.report.figures import NOTHING, bars, cell, curve, gap, number
from steerdsl.show.report.html import Html, details, joined, section, table, tag
from steerdsl.store.finished_run import Finished

OPEN = 12  # points of a sweep that are shown without a click
Line = tuple[str, str, str | None]  # a metric, a data set and a variant; None for the steer
WIDE = 8  # columns of figures that a page of 1400 pixels has room for


def scores(run: Finished) -> Html:
    """A table for each evaluation and data set; for each sweep its curves and its points."""
    parts = [(_sweep if found.swept else _evaluation)(name, found) for name, found in run.scores.evaluations.items()]
    note = (
        "Means over prompts, with 95% intervals. A difference is the steer's figure less the other's, prompt by "
        "prompt; p is corrected by Holm over everything that an evaluation compares: its metrics, data sets and "
        "controls and, in a sweep, its points. `random` is the mean over its draws, each one random rotation of the "
        "steer's directions; its differences count the chance of the draws as well as that of the prompts."
    )
    return section("Scores", tag("p", note, class_="note"), *parts) if parts else Html("")


def _evaluation(name: str, found: Table) -> Html:
    """For each data set a line for each variant and each difference, a column for each metric; with many metrics
    the other way around, since a page is longer than it is wide."""
    parts = [tag("h3", name)]
    for data, rows in found.by("data").items():
        metrics, variants = rows.names("metric"), in_order(rows.names("variant"))
        gaps = {(row.metric, other): each for row in reversed(rows) for other, each in row.against.items()}
        grid: list[list[Any]] = [["", *metrics]]
        grid += [[v, *(cell(rows.one(metric, data, v)) for metric in metrics)] for v in variants]
        for v in (v for v in variants if any(v == other for _, other in gaps)):
            grid.append([f"difference from {v}", *(gap(gaps.get((metric, v))) for metric in metrics)])
        if len(metrics) > WIDE:
            grid = [list(column) for column in zip(*grid, strict=True)]
        size = max(len(row.values) for row in rows)
        parts += [tag("h4", f"{data} ({size} prompt{'s' * (size != 1)})"), table(grid[0], grid[1:], class_="figures")]
    return joined(parts)


def _sweep(name: str, found: Table) -> Html:
    """Curves of every metric, data set and variant over the points, or bars where an axis is one of words; then the
    figures of each point."""
    points, words = list(found.points.values()), words_of(found)
    # An axis over steers has another one at each point: they are one line, of each point's own.
    lines = dict.fromkeys(
        (row.metric, row.data, row.variant if row.variant in HELD_AGAINST else None)
        for row in found
        if row.variant != BASELINE
    )
    names = [v for v in found.names("variant") if v not in HELD_AGAINST]
    curves = []
    for metric, data, variant in lines:
        values = [_mean(point.one(metric, data, variant or steered(point.names("variant")))) for point in points]
        base = [_mean(point.one(metric, data, BASELINE)) for point in points if not point[0].failed]
        level = base[0] if len(set(base)) == 1 else None
        known = [x for x in values if x is not None]
        draw = bars if words else curve
        reach = f"{number(min(known))} to {number(max(known))}" if known else NOTHING
        called = variant or ", ".join(names)
        curves.append([f"{metric}, {data}", called, draw(values, level, label=reach), reach, number(level)])
    axes = list(found[0].at)
    columns: list[Line] = [line for line in lines if line[2] is None]
    if not one_baseline(found):
        columns = [line for m, d, _ in columns for line in ((m, d, None), (m, d, BASELINE))]
    tables = [_points(points, axes, columns[i : i + WIDE]) for i in range(0, len(columns), WIDE)]
    return joined(
        (
            tag("h3", f"{name}: over {', '.join(axes)}, {len(points)} points"),
            table(
                ["", "variant", "in the order of the points", "range", "baseline (dashed)"], curves, class_="figures"
            ),
            details("every point", *tables, shown=len(points) <= OPEN),
        )
    )


def _row(point: Table, columns: Sequence[Line]) -> Iterator[Html]:
    """A point's figures; of one that failed the reason."""
    if point[0].failed:
        yield tag("span", f"failed: {point[0].failed}", class_="state failed")
    else:
        own = steered(point.names("variant"))
        yield from (cell(point.one(metric, data, variant or own)) for metric, data, variant in columns)


def _points(points: Sequence[Table], axes: Sequence[str], columns: Sequence[Line]) -> Html:
    """A line for each point, a column for each of some metrics and data sets."""
    head = [*axes, *(", ".join(part for part in column if part) for column in columns)]
    rows = [[*point[0].at.values(), *_row(point, columns)] for point in points]
    return table(head, rows, class_="figures")


def _mean(row: Row | None) -> float | None:
    return None if row is None else row.mean
