"""Numbers as the report prints them, and curves as small drawings.

In: figures of scores.json and of choices. Out: text, and inline SVG.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from steerdsl.measure.table import Gap, Row
from steerdsl.show import numbers
from steerdsl.show.report.html import Html, joined, tag

NOTHING = numbers.NOTHING
LEAST = 0.05  # from this p value on, a difference is printed faintly
WIDTH, HEIGHT, EDGE = 160.0, 32.0, 3.0


def number(x: Any) -> str:
    """As the terminal prints it, with a true minus sign."""
    return numbers.number(x).replace("-", "−")


def below(text: str) -> Html:
    """A line in small letters under a figure."""
    return tag("small", text.replace("-", "−"), class_="below") if text else Html("")


def cell(row: Row | None) -> Html:
    """A mean; under it in small letters its interval, the draws of a random control, and the number of prompts
    where some have no value."""
    if row is None:
        return Html(NOTHING)
    if row.mean is None:
        return tag("span", NOTHING, title=row.reason)
    few = f"{row.n} of {len(row.values)} prompts" if row.n < len(row.values) else ""
    lines = (numbers.interval(row.low, row.high), numbers.drawn(row), few)
    return joined((tag("b", number(row.mean)), *map(below, lines)))


def gap(found: Gap | None) -> Html:
    """A difference; under it its interval, its p-value and its rank among random draws. Faint where the
    p-value leaves it open."""
    if found is None or found.difference is None:
        return Html(NOTHING)
    p = found.p if found.p_holm is None else found.p_holm
    lines = (numbers.interval(found.low, found.high), numbers.p_value(p), numbers.rank(found))
    faint = p is None or p >= LEAST
    shown = numbers.signed(found.difference).replace("-", "−")
    return tag("span", shown, *map(below, lines), class_="faint" if faint else None)


def curve(
    values: Sequence[float | None], level: float | None = None, chosen: Collection[int] = (), label: str = ""
) -> Html:
    """A line through the values, the lowest at the bottom; gaps where there is none, a dashed line at
    `level`, a dot at each of the `chosen` places."""
    known = [x for x in (*values, level) if x is not None and math.isfinite(x)]
    if not known:
        return Html("")
    low, high = min(known), max(known)

    def place(i: int, x: float) -> tuple[float, float]:
        across = i / (len(values) - 1) if len(values) > 1 else 0.5
        up = (x - low) / (high - low) if high > low else 0.5
        return EDGE + across * (WIDTH - 2 * EDGE), HEIGHT - EDGE - up * (HEIGHT - 2 * EDGE)

    parts: list[Html] = [tag("title", label)] if label else []
    if level is not None and math.isfinite(level):
        y = f"{place(0, level)[1]:.1f}"
        parts.append(tag("line", x1=0, x2=f"{WIDTH:g}", y1=y, y2=y, class_="level"))
    for run in _runs(values):
        points = [place(i, x) for i, x in run]
        if len(points) == 1:
            parts.append(_dot(points[0], "1.5"))
        parts.append(tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points)))
    parts += [_dot(place(i, x), "3", "chosen") for run in _runs(values) for i, x in run if i in chosen]
    size = {"width": f"{WIDTH:g}", "height": f"{HEIGHT:g}", "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}"}
    return tag("svg", *parts, class_="curve", role="img", **size)


def bars(values: Sequence[float | None], level: float | None = None, label: str = "") -> Html:
    """A bar from 0 for each value, a dashed line at `level`; no bar where there is no value."""
    known = [x for x in (*values, level) if x is not None and math.isfinite(x)]
    if not known:
        return Html("")
    low, high = min(0.0, *known), max(0.0, *known)

    def up(x: float) -> float:
        return HEIGHT - EDGE - ((x - low) / (high - low) if high > low else 0.0) * (HEIGHT - 2 * EDGE)

    parts: list[Html] = [tag("title", label)] if label else []
    step = (WIDTH - 2 * EDGE) / len(values)
    for i, x in enumerate(values):
        if x is not None and math.isfinite(x):
            place = {"x": f"{EDGE + (i + 0.15) * step:.1f}", "y": f"{min(up(x), up(0.0)):.1f}"}
            size = {"width": f"{0.7 * step:.1f}", "height": f"{max(abs(up(x) - up(0.0)), 1.0):.1f}"}
            parts.append(tag("rect", **place, **size, class_="bar"))
    if level is not None and math.isfinite(level):
        y = f"{up(level):.1f}"
        parts.append(tag("line", x1=0, x2=f"{WIDTH:g}", y1=y, y2=y, class_="level"))
    size = {"width": f"{WIDTH:g}", "height": f"{HEIGHT:g}", "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}"}
    return tag("svg", *parts, class_="curve", role="img", **size)


def _dot(at: tuple[float, float], radius: str, class_: str | None = None) -> Html:
    return tag("circle", cx=f"{at[0]:.1f}", cy=f"{at[1]:.1f}", r=radius, class_=class_)


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches of values without a gap, each value with its place."""
    found: list[list[tuple[int, float]]] = [[]]
    for i, x in enumerate(values):
        if x is not None and math.isfinite(x):
            found[-1].append((i, x))
        elif found[-1]:
            found.append([])
    return [run for run in found if run]
