"""The scores of a run: tables with intervals and controls, sweeps with curves.

In: scores.json. Out: a section of the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steerdsl.lang.variants import BASELINE, HELD_AGAINST, in_order
from steerdsl.show.report.figures import NOTHING, cell, curve, gap, number
from steerdsl.show.report.files import RunFiles
from steerdsl.show.report.html import Html, details, joined, section, table, tag

OPEN = 12  # points of a sweep that are shown without a click
WIDE = 8  # columns of figures that a page of 1400 pixels has room for


def scores(run: RunFiles) -> Html:
    """A table for each evaluation and data set; for each sweep its curves and its points."""
    parts: list[Html] = []
    for name, found in run.scores.items():
        points = found.get("points") if isinstance(found, Mapping) else None
        parts.append(_sweep(name, points) if points else _evaluation(name, found))
    note = (
        "Means over prompts, with 95% intervals. A difference is the steer's figure less the other's, prompt by "
        "prompt; p is corrected by Holm over everything that an evaluation compares: its metrics, data sets and "
        "controls and, in a sweep, its points. `random` is the mean over its draws, each one random rotation of the "
        "steer's directions; its differences count the chance of the draws as well as that of the prompts."
    )
    return section("Scores", tag("p", note, class_="note"), *parts) if parts else Html("")


def _evaluation(name: str, found: Mapping[str, Any]) -> Html:
    """For each data set a line for each variant and each difference, a column for each metric; with many metrics
    the other way around, since a page is longer than it is wide."""
    parts = [tag("h3", name)]
    for data, by_metric in _by_data(found).items():
        variants = in_order(variant for figures in by_metric.values() for variant in figures)
        compared = [v for v in variants if any(_difference(f, v) for f in by_metric.values())]
        sizes = {len(f.get("values") or ()) for figures in by_metric.values() for f in figures.values()}
        grid: list[list[Any]] = [["", *by_metric]]
        grid += [[v, *(cell(figures.get(v)) for figures in by_metric.values())] for v in variants]
        for v in compared:
            grid.append([f"difference from {v}", *(gap(_difference(figures, v)) for figures in by_metric.values())])
        if len(by_metric) > WIDE:
            grid = [list(column) for column in zip(*grid, strict=True)]
        size = f" ({max(sizes)} prompt{'s' * (max(sizes) != 1)})" if sizes else ""
        parts += [tag("h4", f"{data}{size}"), table(grid[0], grid[1:], class_="figures")]
    return joined(parts)


def _by_data(found: Mapping[str, Any]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """data set -> metric -> variant -> figures."""
    turned: dict[str, dict[str, Mapping[str, Any]]] = {}
    for metric, by_data in found.items():
        for data, by_variant in by_data.items():
            turned.setdefault(data, {})[metric] = by_variant
    return turned


def _difference(by_variant: Mapping[str, Any], other: str) -> Mapping[str, Any] | None:
    """The steer's difference from another variant, where the run has compared them."""
    for figures in by_variant.values():
        found = figures.get("against") or {}
        if other in found:
            return found[other]  # type: ignore[no-any-return]
    return None


def _sweep(name: str, points: Sequence[Mapping[str, Any]]) -> Html:
    """Curves of every metric, data set and variant over the points, then the figures of each point."""
    lines = list(_lines(points))
    curves = []
    for metric, data, variant in lines:
        values = [_mean(point, metric, data, variant) for point in points]
        base = [_mean(point, metric, data, BASELINE) for point in points if not point.get("failed")]
        level = base[0] if len(set(base)) == 1 else None
        known = [x for x in values if x is not None]
        reach = f"{number(min(known))} to {number(max(known))}" if known else NOTHING
        curves.append([f"{metric}, {data}", variant, curve(values, level, label=reach), reach, number(level)])
    axes = list(points[0]["at"])
    steers = [line for line in lines if line[2] not in HELD_AGAINST]
    tables = [_points(points, axes, steers[i : i + WIDE]) for i in range(0, len(steers), WIDE)]
    return joined(
        (
            tag("h3", f"{name}: over {', '.join(axes)}, {len(points)} points"),
            table(
                ["", "variant", "in the order of the points", "range", "baseline (dashed)"], curves, class_="figures"
            ),
            details("every point", *tables, shown=len(points) <= OPEN),
        )
    )


def _row(point: Mapping[str, Any], steers: Sequence[tuple[str, str, str]]) -> Iterator[Html]:
    """A point's figures; of one that failed the reason."""
    if point.get("failed"):
        yield tag("span", f"failed: {point['failed']}", class_="state failed")
    else:
        yield from (cell(_figures(point, *line)) for line in steers)


def _points(points: Sequence[Mapping[str, Any]], axes: Sequence[str], lines: Sequence[tuple[str, str, str]]) -> Html:
    """A line for each point, a column for each of some metrics and data sets."""
    head = [*axes, *(f"{metric}, {data}" for metric, data, _ in lines)]
    rows = [[*point["at"].values(), *_row(point, lines)] for point in points]
    return table(head, rows, class_="figures")


def _lines(points: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Each metric, data set and variant that has figures, except the baseline."""
    seen: dict[tuple[str, str, str], None] = {}
    for point in points:
        for metric, by_data in point["scores"].items():
            for data, by_variant in by_data.items():
                seen |= {(metric, data, variant): None for variant in by_variant if variant != BASELINE}
    yield from seen


def _figures(point: Mapping[str, Any], metric: str, data: str, variant: str) -> Any:
    return point["scores"].get(metric, {}).get(data, {}).get(variant)


def _mean(point: Mapping[str, Any], metric: str, data: str, variant: str) -> float | None:
    found = _figures(point, metric, data, variant)
    return None if found is None else found.get("mean")
