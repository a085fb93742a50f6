"""Numbers as the report prints them, and curves as small drawings.

In: figures of scores.json and of choices. Out: text, and inline SVG.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from steerdsl.show.report.html import Html, joined, tag

NOTHING = "–"
WIDTH, HEIGHT, EDGE = 160.0, 32.0, 3.0


def number(x: Any) -> str:
    """`0.123`, `1.2e-05`, `–`."""
    return f"{x:.3g}".replace("-", "−") if isinstance(x, int | float) and math.isfinite(x) else NOTHING


def cell(figures: Any) -> Html:
    """A mean, its interval in small letters, and the number of prompts where some have no value."""
    if not isinstance(figures, Mapping):
        return Html(NOTHING)
    if figures.get("mean") is None:
        return tag("span", NOTHING, title=figures.get("reason"))
    n, every = figures.get("n"), len(figures.get("values") or ())
    few = tag("small", f" {n} of {every} prompts") if n is not None and n < every else Html("")
    return joined((tag("b", number(figures["mean"])), interval(figures), few, _draws(figures)))


def _draws(figures: Mapping[str, Any]) -> Html:
    """` 5 draws, sd 2.1` of the random control."""
    draws, spread = figures.get("draws"), figures.get("spread")
    if not isinstance(draws, Sequence) or not draws:
        return Html("")
    return tag("small", f" {len(draws)} draws" + ("" if spread is None else f", sd {number(spread)}"))


def interval(figures: Mapping[str, Any]) -> Html:
    """` [low, high]`; nothing where there is none."""
    low, high = figures.get("low"), figures.get("high")
    if low is None or high is None or low == high:
        return Html("")
    return tag("small", f" [{number(low)}, {number(high)}]")


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
