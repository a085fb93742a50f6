"""`plot scores.bleu over angle`: a metric along the axes of a sweep, or as bars where there is none.

In: a `ScoreView`. Out: bars, lines, a polar picture or maps, by what it holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from steerdsl.engine.views import ScoreView
from steerdsl.methods.types import MethodError
from steerdsl.registry import Arg, Entry
from steerdsl.show.heat import heat
from steerdsl.show.series import BASELINE, Series, axis_name, metric_name, series
from steerdsl.show.style import BLACK, GREY, MARKERS, SERIES, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


def run(view: ScoreView) -> Figure:
    """No axis: bars. One: a line for each data set and variant, the baseline dashed, with 95% bands;
    or the same around a circle. Two: a map for each data set and variant.

    Raises MethodError with more than two axes and when no point has a figure.
    """
    if len(view.over) > 2:
        named = ", ".join(view.over)
        raise MethodError(
            f"a plot has two axes at most, and this one would have {len(view.over)}: {named}",
            f"write `over {view.over[0]}` or `over {view.over[0]}, {view.over[1]}`",
        )
    lines = series(view)
    if len(view.over) == 2:
        return heat(view, lines)
    if not view.over:
        return _bars(view, lines)
    return _polar(view, lines) if view.polar else _along(view, lines)


def _bars(view: ScoreView, lines: Sequence[Series]) -> Figure:
    """A group of bars for each data set, a colour for each variant, whiskers for the intervals."""
    datasets, variants = _names(lines)
    figure, (panel,) = panels(1, height=4.6, width=min(8.0, 4.0 + 1.6 * len(datasets)), title=_title(view))
    width = 0.8 / len(variants)
    handles = []
    colours = iter(SERIES * len(variants))
    for place, variant in enumerate(variants):
        own = [line for line in lines if line.variant == variant]
        x = [datasets.index(line.dataset) + (place - (len(variants) - 1) / 2) * width for line in own]
        colour = GREY if variant == BASELINE else next(colours)
        handles.append(panel.bar(x, [line.mean[0] for line in own], 0.92 * width, color=colour, label=variant))
        # About the interval's middle: a mean may lie a rounding error outside its own interval.
        middle = [(line.low[0] + line.high[0]) / 2 for line in own]
        reach = [(line.high[0] - line.low[0]) / 2 for line in own]
        panel.errorbar(x, middle, reach, fmt="none", ecolor=BLACK, elinewidth=1, capsize=4)
    most = [max(line.n for line in lines if line.dataset == name) for name in datasets]
    panel.set_xticks(range(len(datasets)), [f"{name}\n(n = {n})" for name, n in zip(datasets, most, strict=True)])
    panel.grid(False, axis="x")
    panel.set_ylabel(metric_name(view.metric))
    legend_below(figure, handles)
    return figure


def _along(view: ScoreView, lines: Sequence[Series]) -> Figure:
    groups, columns = _groups(lines)
    rows = -(-len(groups) // columns)
    figure, axes = panels(rows, columns, height=4.0 * rows + 1.0, title=_title(view), sharey=True)
    name = axis_name(view, view.over[0])
    for place, (panel, dataset) in enumerate(zip(axes, groups, strict=False)):
        for line in groups[dataset]:
            _draw(panel, line, groups[dataset], [at[0] for at in line.at])
        panel.set_title(dataset)
        panel.set_xlabel(name)
        if place % columns == 0:
            panel.set_ylabel(metric_name(view.metric))
        if name.endswith("(degrees)"):
            panel.locator_params("x", steps=(1, 1.5, 3, 4.5, 6, 9, 10))
    if 0 <= _least(lines) < max(x for line in lines for x in line.mean if not math.isnan(x)) / 2:
        axes[0].set_ylim(bottom=0)
    _finish(figure, axes, groups)
    return figure


def _polar(view: ScoreView, lines: Sequence[Series]) -> Figure:
    """0° is b1, to the right; angles run counter-clockwise; a steady baseline is a circle."""
    groups, columns = _groups(lines, columns=2)
    rows = -(-len(groups) // columns)
    title = f"{metric_name(view.metric)} by {view.over[0]}"
    size: dict[str, float] = {"width": 7.2, "height": 7.2} if len(groups) == 1 else {"height": 4.0 * rows + 1.0}
    figure, axes = panels(rows, columns, title=title, sharey=True, subplot_kw={"polar": True}, **size)
    degrees = range(0, 360, 30)
    names = {0: "0° (b1)", 90: "90° (b2)"}
    for panel, dataset in zip(axes, groups, strict=False):
        for line in groups[dataset]:
            _draw(panel, line, groups[dataset], *_around(line))
        panel.set_title(dataset)
        panel.set_xticks([math.radians(x) for x in degrees], [names.get(x, f"{x}°") for x in degrees])
        panel.tick_params(axis="x", pad=10)
    axes[0].set_ylim(bottom=min(0.0, _least(lines)))
    for panel in axes[: len(groups)]:
        _rings(panel)
    _finish(figure, axes, groups)
    return figure


def _groups(lines: Sequence[Series], columns: int = 3) -> tuple[dict[str, list[Series]], int]:
    """The lines of each panel, and how many panels stand side by side. All data sets share one, unless
    one of them has several steered lines: then each has its own, which is titled with its name."""
    datasets, _ = _names(lines)
    steered = [line.dataset for line in lines if line.variant != BASELINE]
    if len(steered) == len(set(steered)):
        return {"": list(lines)}, 1
    return {name: [line for line in lines if line.dataset == name] for name in datasets}, min(columns, len(datasets))


def _finish(figure: Figure, axes: Sequence[Axes], groups: Mapping[str, Sequence[Series]]) -> None:
    """Remove panels that nothing was drawn in, and explain each kind of line once."""
    handles: dict[str, Line2D] = {}
    for panel, dataset in zip(axes, groups, strict=False):
        for handle in panel.get_lines():
            handle.set_label(str(handle.get_label()).removeprefix(f"{dataset}, "))
            handles.setdefault(str(handle.get_label()), handle)
    for unused in axes[len(groups) :]:
        unused.remove()
    legend_below(figure, list(handles.values()))


def _rings(panel: Axes) -> None:
    """The figures of the rings, over the lines instead of under them."""
    from matplotlib.ticker import MaxNLocator

    low, high = panel.get_ylim()
    rings = [x for x in MaxNLocator(5, steps=(1, 2, 5, 10)).tick_values(low, high) if low < x <= high]
    panel.set_yticks(rings, [""] * len(rings))
    for ring in rings:
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        panel.text(math.radians(285), ring, f"{ring:g}".replace("-", "−"), ha="center", va="center", bbox=box, zorder=4)


def _least(lines: Sequence[Series]) -> float:
    return min(x for line in lines for x in (*line.mean, *line.low) if not math.isnan(x))


def _around(line: Series) -> tuple[list[float], list[int]]:
    """Angles in radians, and the index of the figure at each: back to the first where a sweep goes
    all the way around, every degree where the line is one figure."""
    degrees = [at[0] for at in line.at]
    index = list(range(len(degrees)))
    if line.variant == BASELINE and len(set(line.mean)) == 1:
        return [math.radians(x) for x in range(361)], [0] * 361
    widest = max((b - a for a, b in pairwise(degrees)), default=360.0)
    if len(degrees) > 2 and 0 < degrees[0] + 360 - degrees[-1] <= 1.5 * widest:
        degrees, index = [*degrees, degrees[0] + 360], [*index, 0]
    return [math.radians(x) for x in degrees], index


def _draw(
    panel: Axes, line: Series, lines: Sequence[Series], x: Sequence[float], index: Sequence[int] | None = None
) -> None:
    """A line and its band: a colour and a mark for each steered line of a panel. The baseline is dashed,
    in the colour of the line that it belongs to, or black where it belongs to several."""
    steered = [other for other in lines if other.variant != BASELINE]
    own = [i for i, o in enumerate(steered) if (o.dataset, o.rest) == (line.dataset, line.rest)]
    index = range(len(x)) if index is None else index
    mean, low, high = ([values[i] for i in index] for values in (line.mean, line.low, line.high))
    if line.variant == BASELINE:
        colour = SERIES[own[0] % len(SERIES)] if len(own) == 1 else BLACK
        panel.plot(x, mean, linestyle="--", linewidth=1.2, color=colour, label=line.label)
        return
    number = steered.index(line)
    colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
    if not all(map(math.isnan, low)):
        panel.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    panel.plot(x, mean, marker=marker, color=colour, label=line.label)


def _names(lines: Sequence[Series]) -> tuple[list[str], list[str]]:
    """The data sets and the variants, each once."""
    return list(dict.fromkeys(o.dataset for o in lines)), list(dict.fromkeys(o.variant for o in lines))


def _title(view: ScoreView) -> str:
    return f"{view.name}: {view.metric}" + (f" over {view.over[0]}" if view.over else "")


ENTRY = Entry(
    kind="plot",
    name="scores",
    summary="a metric of an evaluation: along one axis of a sweep, around a circle, over two axes, or as bars",
    run=run,
    args=(Arg("score", "word", doc="a metric of an evaluation, with or without a data set"),),
    example='plot scores.refusal_rate over angle polar to "sweep.png"',
)
