"""A metric around a circle of angles, with the plane's candidates on its rim.

In: the series of a `ScoreView` over one axis of angles. Out: 0° to the right, counter-clockwise. Where
the rotation is to an angle, 0° is b1 and the candidates are at their own angles; where it is by an
angle, 0° means no rotation, and candidates have no place on the circle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from steerdsl.engine.plot_data import ScoreView
from steerdsl.methods.types import Plane
from steerdsl.show.lines import draw_line, finish_groups, grouped, least
from steerdsl.show.series import UNSTEERED, Series, metric_name
from steerdsl.show.style import BLACK, GREY, SEQUENTIAL, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

HOLE = 0.1  # of the radius, below 0
DEGREES = range(0, 360, 30)
CANDIDATES, NUMBERS, RIM = 1.06, 1.135, 1.19  # of the radius that holds the lines
APART = 9.0  # degrees between two candidates that are both numbered
SMALL, LARGE = 10.0, 55.0  # of a candidate's mark: across the plane, and within it


def polar(view: ScoreView, lines: Sequence[Series]) -> Figure:
    """A closed line for each data set and variant with a band; a steady baseline is a circle."""
    groups, columns = grouped(lines, columns=2)
    rows = -(-len(groups) // columns)
    size = {"width": 8.0, "height": 7.6} if len(groups) == 1 else {"height": 4.2 * rows + 1.2}
    subplots: dict[str, Any] = {"sharey": True, "subplot_kw": {"polar": True}}
    title = f"{view.name}: {metric_name(view.metric)} by {view.over[0]}"
    figure, axes = panels(rows, columns, title=title, about=view.about, **subplots, **size)
    for panel, dataset in zip(axes, groups, strict=False):
        for line in groups[dataset]:
            draw_line(panel, line, groups[dataset], *around(line))
        panel.set_title(dataset)
        panel.set_xticks([math.radians(x) for x in DEGREES], [_named(view, x) for x in DEGREES])
        panel.tick_params(axis="x", pad=12)
    # The middle of the circle is less than 0, where a line would be a point.
    high = max(axes[0].get_ylim()[1], HOLE)
    axes[0].set_ylim(bottom=min(-HOLE * high, least(lines)), top=high)
    shown = axes[: len(groups)]
    low, high = axes[0].get_ylim()
    for panel in shown:
        _rings(panel, low, high)
    turning = view.turning
    if turning and turning.absolute and turning.plane is not None and turning.plane.coordinates is not None:
        axes[0].set_ylim(low, low + RIM * (high - low))
        *_, marks = [_candidates(panel, turning.plane, low, high) for panel in shown]
        if turning.plane.layers:
            label = "layer of the candidate direction\n(the larger the mark, the more of it is in the plane)"
            figure.colorbar(marks, ax=shown, label=label, shrink=0.55, pad=0.08)
    finish_groups(figure, axes, groups)
    return figure


def _named(view: ScoreView, degrees: int) -> str:
    if view.turning is not None and not view.turning.absolute:
        return "0° (no turn)" if degrees == 0 else f"{degrees}°"
    return {0: "0° (b1)", 90: "90° (b2)"}.get(degrees, f"{degrees}°")


def around(line: Series) -> tuple[list[float], list[int]]:
    """Angles in radians, and the index of the figure at each: back to the first where a sweep goes
    all the way around, every degree where an unsteered line is one figure."""
    degrees = [at[0] for at in line.at]
    index = list(range(len(degrees)))
    if line.variant in UNSTEERED and len(set(line.mean)) == 1:
        return [math.radians(x) for x in range(361)], [0] * 361
    widest = max((b - a for a, b in pairwise(degrees)), default=360.0)
    if len(degrees) > 2 and 0 < degrees[0] + 360 - degrees[-1] <= 1.5 * widest:
        degrees, index = [*degrees, degrees[0] + 360], [*index, 0]
    return [math.radians(x) for x in degrees], index


def angles(plane: Plane) -> tuple[list[float], list[float]]:
    """The angle of each candidate in the plane, radians from b1, and its projection's length as a share
    of the longest one's (of 1, a unit vector's, where none is longer)."""
    assert plane.coordinates is not None
    found = plane.coordinates.double()
    lengths = found.norm(dim=-1)
    return found[:, 1].atan2(found[:, 0]).tolist(), (lengths / lengths.max().clamp(min=1.0)).tolist()


def _candidates(panel: Axes, plane: Plane, low: float, high: float) -> PathCollection:
    """A mark at each candidate's angle, outside the lines, and layer numbers where there is room."""
    at, lengths = angles(plane)
    sizes = [SMALL + (LARGE - SMALL) * length for length in lengths]
    colours = list(plane.layers) or GREY
    radius = low + CANDIDATES * (high - low)
    panel.plot([math.radians(x) for x in range(361)], [high] * 361, color=GREY, linewidth=0.8, label="_edge")
    look: dict[str, Any] = {"edgecolors": BLACK, "linewidths": 0.4, "zorder": 3}
    marks = panel.scatter(at, [radius] * len(at), s=sizes, c=colours, cmap=SEQUENTIAL if plane.layers else None, **look)
    numbered: list[float] = []
    for i in sorted(range(len(plane.layers)), key=lambda i: -lengths[i]):
        degrees = math.degrees(at[i])
        if all(abs((degrees - other + 180) % 360 - 180) >= APART for other in numbered):
            numbered.append(degrees)
            place = (at[i], low + NUMBERS * (high - low))
            panel.text(*place, str(plane.layers[i]), ha="center", va="center", size="x-small")
    return marks


def _rings(panel: Axes, low: float, high: float) -> None:
    """The figures of the rings, over the lines instead of under them."""
    from matplotlib.ticker import MaxNLocator

    rings = [x for x in MaxNLocator(5, steps=(1, 2, 5, 10)).tick_values(low, high) if low < x <= high]
    if -HOLE * high <= low < 0:  # nothing is below 0 but the hole
        rings = [x for x in rings if x >= 0]
    panel.set_yticks(rings, [""] * len(rings))
    for ring in rings:
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        panel.text(math.radians(285), ring, f"{ring:g}".replace("-", "−"), ha="center", va="center", bbox=box, zorder=4)
