"""Lines of a metric along one axis, and what straight and polar pictures of them share.

In: the series of a `ScoreView` with one axis. Out: panels with a line for each data set and variant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steerdsl.engine.plot_data import ScoreView
from steerdsl.lang.variants import BASELINE, HELD_AGAINST, PROMPTED, RANDOM
from steerdsl.show.numbers import number
from steerdsl.show.series import Series, axis_name, metric_name
from steerdsl.show.style import BLACK, MARKERS, ORANGE, SERIES, SKY, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# The same in every picture: controls are not numbered among the steers' colours.
CONTROL_COLOURS = {RANDOM: SKY, PROMPTED: ORANGE}
MARGIN = 0.04  # of the axis, below 0
WRITTEN = 12  # figures that are written next to the lines of a panel
NINETIES = (1, 1.5, 3, 4.5, 6, 9, 10)  # steps of ticks that angles are read by


Groups = Mapping[str, Sequence[Series]]


def along(view: ScoreView, lines: Sequence[Series], panelled: tuple[Groups, int, str] | None = None) -> Figure:
    """A line for each data set and variant with 95% bands; what is not steered without. `panelled` are the lines of
    each panel, how many are side by side and the title, where all data sets in one panel is not what is wanted."""
    groups, columns, title = panelled or (*grouped(lines), f"{view.name}: {view.metric} over {view.over[0]}")
    rows = -(-len(groups) // columns)
    figure, axes = panels(rows, columns, height=4.0 * rows + 1.2, title=title, about=view.about, sharey=True)
    name = axis_name(view, view.over[0])
    for place, (panel, dataset) in enumerate(zip(axes, groups, strict=False)):
        for line in groups[dataset]:
            draw_line(panel, line, groups[dataset], [at[0] for at in line.at])
        panel.set_title(dataset)
        panel.set_xlabel(name)
        if place % columns == 0:
            panel.set_ylabel(metric_name(view.metric))
        if name.endswith("(degrees)"):
            panel.locator_params("x", steps=NINETIES)
    room(axes[0], lines)
    for panel, dataset in zip(axes, groups, strict=False):
        _values(panel, groups[dataset])
    finish_groups(figure, axes, groups)
    return figure


def room(panel: Axes, lines: Sequence[Series]) -> None:
    """Let the axis of figures begin a little below 0 where they do so near it, so that what is 0 can be seen,
    and leave room above for what is written there."""
    low, high = least(lines), max(x for line in lines for x in (*line.mean, *line.high) if not math.isnan(x))
    if low == high == 0:
        panel.set_ylim(-MARGIN, 1)
    elif 0 <= low < high / 2:
        panel.set_ylim(-MARGIN * high, (1 + 2 * MARGIN) * high)


def say(panel: Axes, x: float, y: float, value: float, colour: str = BLACK) -> None:
    """Write a figure above a place."""
    if math.isnan(value) or math.isnan(y):
        return
    look: dict[str, Any] = {"ha": "center", "va": "bottom", "size": "small", "color": colour, "zorder": 5}
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.5}
    text = number(value).replace("-", "−")
    panel.annotate(text, (x, y), (0, 5), textcoords="offset points", bbox=box, **look)


def _values(panel: Axes, lines: Sequence[Series]) -> None:
    """The figures of the steers: all of them where there is room, else the lowest and the highest of each."""
    steered = [line for line in lines if line.variant not in HELD_AGAINST]
    few = sum(len(line.mean) for line in steered) <= WRITTEN
    for place, line in enumerate(steered):
        known = [i for i, mean in enumerate(line.mean) if not math.isnan(mean)]
        ends = {min(known, key=lambda i: line.mean[i]), max(known, key=lambda i: line.mean[i])} if known else set()
        for i in known if few else sorted(ends) if len(steered) <= WRITTEN // 2 else ():
            say(panel, line.at[i][0], line.mean[i], line.mean[i], SERIES[place % len(SERIES)])


def grouped(lines: Sequence[Series], columns: int = 3) -> tuple[dict[str, list[Series]], int]:
    """The lines of each panel, and how many panels are side by side. All data sets share one, unless
    one of them has several steered lines: then each has its own, which is titled with its name."""
    datasets = list(dict.fromkeys(line.dataset for line in lines))
    steered = [line.dataset for line in lines if line.variant != BASELINE]
    if len(steered) == len(set(steered)):
        return {"": list(lines)}, 1
    return {name: [line for line in lines if line.dataset == name] for name in datasets}, min(columns, len(datasets))


def draw_line(
    panel: Axes, line: Series, lines: Sequence[Series], x: Sequence[float], index: Sequence[int] | None = None
) -> None:
    """A line and its band: a colour and a mark for each steered line of a panel. The baseline is dashed,
    in the colour of the line that it belongs to, or black where it belongs to several; prompting is
    dotted. `index` says which figure is at each x."""
    steered = [other for other in lines if other.variant not in HELD_AGAINST]
    index = range(len(x)) if index is None else index
    mean, low, high = ([values[i] for i in index] for values in (line.mean, line.low, line.high))
    if line.variant == BASELINE:
        rivals = [o for o in lines if o.variant != BASELINE and (o.dataset, o.rest) == (line.dataset, line.rest)]
        own = steered.index(rivals[0]) if len(rivals) == 1 and rivals[0] in steered else None
        colour = BLACK if own is None else SERIES[own % len(SERIES)]
        panel.plot(x, mean, linestyle="--", linewidth=1.2, color=colour, label=line.label, zorder=3)
        return
    if line.variant == PROMPTED:
        panel.plot(x, mean, linestyle=":", linewidth=1.6, color=CONTROL_COLOURS[PROMPTED], label=line.label, zorder=3)
        return
    if line.variant == RANDOM:
        colour, marker, width = CONTROL_COLOURS[RANDOM], "x", 1.2
    else:
        place = steered.index(line)
        colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
        width = max(1.6, 2.8 - 0.6 * place)  # lines that coincide: the first is wider than those over it
    if not all(map(math.isnan, low)):
        panel.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    panel.plot(x, mean, marker=marker, color=colour, linewidth=width, label=line.label)


def finish_groups(figure: Figure, axes: Sequence[Axes], groups: Mapping[str, Sequence[Series]]) -> None:
    """Remove panels that nothing was drawn in, and explain each kind of line once."""
    handles: dict[str, Line2D] = {}
    for panel, dataset in zip(axes, groups, strict=False):
        for handle in (line for line in panel.get_lines() if not str(line.get_label()).startswith("_")):
            handle.set_label(str(handle.get_label()).removeprefix(f"{dataset}, "))
            handles.setdefault(str(handle.get_label()), handle)
    for unused in axes[len(groups) :]:
        unused.remove()
    legend_below(figure, list(handles.values()))


def least(lines: Sequence[Series]) -> float:
    return min(x for line in lines for x in (*line.mean, *line.low) if not math.isnan(x))
