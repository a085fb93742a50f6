"""`plot search(best)`: the goal along each axis, the range that works and what the limits allow.

In: a search as the record keeps it. Out: for each axis of numbers a panel of the goal along the line through the best
point, with the working range shaded, and a panel of the limits; for layers and numbers together a map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from steerdsl.engine.plot_data import SearchView
from steerdsl.methods.types import MethodError
from steerdsl.registry import Arg, Entry
from steerdsl.show.searches import Cells, cells, ordered, through
from steerdsl.show.style import BLACK, BLUE, CHOSEN, DASHES, GREEN, GREY, SEQUENTIAL, SERIES, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTERS = 30  # of the goal in one line
MOST = 3.0  # times what a limit allows: what is beyond is drawn at the edge

Trials = Sequence[Mapping[str, Any]]


def run(view: SearchView) -> Figure:
    """Filled marks keep every limit, hollow ones do not; trials off the line are grey.

    Raises MethodError when no trial has a figure.
    """
    found = view.found
    if all(trial["goal"] is None for trial in found["trials"]):
        raise MethodError(f"`{view.name}` has no figures to draw", "search a smaller range")
    lines = [axis for axis, about in found["axes"].items() if not about["layers"]] or [*found["axes"]]
    maps = [cells(found, across, up) for across, up in _pairs(found)]
    each = 1 + bool(found["limits"])
    rows = each * len(lines) + len(maps)
    heights = [3, 1.6][:each] * len(lines) + [3] * len(maps)
    title = f"{view.name}: {found['goal']}, {len(found['trials'])} trials"
    figure, axes = panels(rows, height=sum(heights) + 1.4, title=title, about=view.about, height_ratios=heights)
    for place, axis in enumerate(lines):
        own = axes[place * each : (place + 1) * each]
        _goal(own[0], found, axis)
        if found["limits"]:
            own[1].sharex(own[0])
            _limits(own[1], found, axis)
        own[-1].set_xlabel(_named(found, axis))
    for panel, drawn in zip(axes[each * len(lines) :], maps, strict=True):
        _map(figure, panel, found, drawn)
    legend_below(figure, _legend(found, bool(maps)))
    return figure


def _pairs(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each axis of layers with each axis of numbers."""
    layers = [axis for axis, about in found["axes"].items() if about["layers"]]
    return [(axis, layer) for layer in layers for axis in found["axes"] if axis not in layers]


def _named(found: Mapping[str, Any], axis: str) -> str:
    about = found["axes"][axis]
    unit = "layer" if about["layers"] else about["unit"]
    return f"{axis} ({unit})" if unit else axis


def _goal(panel: Axes, found: Mapping[str, Any], axis: str) -> None:
    line = [trial for trial in through(found, axis) if trial["goal"] is not None]
    on = {id(trial) for trial in line}
    rest = [t for t in found["trials"] if t["goal"] is not None and id(t) not in on]
    panel.plot(_x(rest, axis), [t["goal"] for t in rest], linestyle="", marker=".", color=GREY, alpha=0.6)
    panel.plot(_x(line, axis), [t["goal"] for t in line], color=BLUE, linewidth=1)
    for kept in (True, False):
        own = [trial for trial in line if trial["feasible"] == kept]
        face = BLUE if kept else "white"
        goals = [t["goal"] for t in own]
        panel.plot(_x(own, axis), goals, linestyle="", marker="o", color=BLUE, markerfacecolor=face)
    for shaded in found["ranges"]:
        if shaded["axis"] == axis:
            panel.axvspan(shaded["low"], shaded["high"], color=GREEN, alpha=0.18, linewidth=0)
    if (best := found["best"]) is not None:
        panel.plot([best["values"][axis]], [best["goal"]], linestyle="", marker="D", markersize=8, color=CHOSEN)
    panel.set_ylabel(fill(found["goal"], LETTERS))


def _limits(panel: Axes, found: Mapping[str, Any], axis: str) -> None:
    """By how much each limit is broken along the line, as a share of the limit: above 0 it does not hold."""
    line = through(found, axis) or ordered(found)
    joined = bool(through(found, axis))
    for i, text in enumerate(found["limits"]):
        own = [trial for trial in line if trial["over"][i] is not None]
        over = [min(max(trial["over"][i], -MOST), MOST) for trial in own]
        style = DASHES[i % len(DASHES)] if joined else ""
        panel.plot(_x(own, axis), over, linestyle=style, marker=".", color=_colour(i), label=text)
    panel.axhline(0, color=BLACK, linewidth=1)
    panel.set_ylabel("beyond the limit\n(share of it)")


def _colour(place: int) -> str:
    return SERIES[(place + 3) % len(SERIES)]


def _x(trials: Trials, axis: str) -> list[float]:
    return [trial["values"][axis] for trial in trials]


def _map(figure: Figure, panel: Axes, found: Mapping[str, Any], drawn: Cells) -> None:
    """The best goal of each cell; cells in which no trial keeps the limits are hatched, empty ones are grey."""
    import matplotlib
    import numpy as np
    from matplotlib.patches import Rectangle

    values = np.array([[np.nan if cell is None else cell[0] for cell in row] for row in drawn.rows])
    colours = matplotlib.colormaps[SEQUENTIAL].with_extremes(bad="#DDDDDD")
    image = panel.pcolormesh(drawn.edges, np.arange(len(drawn.layers) + 1), values, cmap=colours)
    for y, row in enumerate(drawn.rows):
        for (left, right), cell in zip(zip(drawn.edges, drawn.edges[1:], strict=False), row, strict=True):
            if cell is not None and not cell[1]:
                look: dict[str, Any] = {"fill": False, "hatch": "///", "edgecolor": "white", "linewidth": 0}
                panel.add_patch(Rectangle((left, y), right - left, 1, **look))
    if (best := found["best"]) is not None:
        middle = drawn.layers.index(best["values"][drawn.up]) + 0.5
        panel.plot([best["values"][drawn.across]], [middle], linestyle="", marker="D", markersize=8, color=CHOSEN)
    step = -(-len(drawn.layers) // 12)
    panel.set_yticks([i + 0.5 for i in range(0, len(drawn.layers), step)], [f"{x:g}" for x in drawn.layers[::step]])
    panel.set_xlabel(_named(found, drawn.across))
    panel.set_ylabel(_named(found, drawn.up))
    panel.grid(False)
    figure.colorbar(image, ax=panel, label=fill(found["goal"], LETTERS))


def _legend(found: Mapping[str, Any], mapped: bool) -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def mark(label: str, **look: Any) -> Line2D:
        return Line2D([], [], linestyle="", label=label, **{"marker": "o", "color": BLUE, **look})

    handles: list[Artist] = [mark("chosen", marker="D", color=CHOSEN)] if found["best"] else []
    handles.append(mark("keeps the limits" if found["limits"] else "trial"))
    if found["limits"]:
        handles.append(mark("breaks a limit", markerfacecolor="white"))
    if found["best"]:
        handles.append(mark("other trials", marker=".", color=GREY))
    if found["ranges"]:
        handles.append(Patch(color=GREEN, alpha=0.18, label="working range"))
    if mapped and found["limits"]:
        handles.append(Patch(facecolor="#8888AA", edgecolor="white", hatch="///", label="no trial keeps the limits"))
    for i, text in enumerate(found["limits"]):
        handles.append(Line2D([], [], color=_colour(i), linestyle=DASHES[i % len(DASHES)], marker=".", label=text))
    return handles


ENTRY = Entry(
    kind="plot",
    name="search",
    summary="the trials of a search: its goal along each axis, the working range, the limits, a map of layers",
    run=run,
    args=(Arg("search", "search", doc="the result of a `tune`"),),
    example="plot search(found)",
)
