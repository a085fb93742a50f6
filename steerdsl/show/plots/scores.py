"""`plot scores.bleu over angle`: a metric along the axes of a sweep, or as bars where there is none.

In: a `ScoreView`. Out: bars, lines, a polar picture or maps, by what it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steerdsl.engine.plot_data import ScoreView
from steerdsl.lang.variants import BASELINE
from steerdsl.methods.types import MethodError
from steerdsl.registry import Arg, Entry
from steerdsl.show.heat import heat
from steerdsl.show.lines import CONTROL_COLOURS, along, room, say
from steerdsl.show.polar import polar
from steerdsl.show.series import Series, metric_name, series
from steerdsl.show.style import BLACK, GREY, SERIES, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    return polar(view, lines) if view.polar else along(view, lines)


def _bars(view: ScoreView, lines: Sequence[Series]) -> Figure:
    """A group of bars for each data set, a colour for each variant, whiskers for the intervals."""
    datasets, variants = (list(dict.fromkeys(getattr(o, name) for o in lines)) for name in ("dataset", "variant"))
    width = min(8.0, 4.0 + 0.4 * len(datasets) * len(variants))
    title = f"{view.name}: {view.metric}"
    figure, (panel,) = panels(1, height=4.8, width=width, title=title, about=view.about)
    thick = 0.8 / len(variants)
    handles = []
    colours = iter(SERIES * len(variants))
    for place, variant in enumerate(variants):
        own = [line for line in lines if line.variant == variant]
        x = [datasets.index(line.dataset) + (place - (len(variants) - 1) / 2) * thick for line in own]
        colour = GREY if variant == BASELINE else CONTROL_COLOURS.get(variant) or next(colours)
        heights = [line.mean[0] for line in own]
        # The edge of a bar of height 0 is a line.
        handles.append(panel.bar(x, heights, 0.92 * thick, color=colour, edgecolor=colour, linewidth=2, label=variant))
        # About the interval's middle: a mean may lie a rounding error outside its own interval.
        middle = [(line.low[0] + line.high[0]) / 2 for line in own]
        reach = [(line.high[0] - line.low[0]) / 2 for line in own]
        panel.errorbar(x, middle, reach, fmt="none", ecolor=BLACK, elinewidth=1, capsize=4)
        for place_x, line in zip(x, own, strict=True):
            if line.mean[0] == line.mean[0]:  # a variant without a figure has no bar
                say(panel, place_x, max(x for x in (line.mean[0], line.high[0]) if x == x), line.mean[0])
    most = [max(line.n for line in lines if line.dataset == name) for name in datasets]
    panel.set_xticks(range(len(datasets)), [f"{name}\n(n = {n})" for name, n in zip(datasets, most, strict=True)])
    panel.grid(False, axis="x")
    room(panel, lines)
    panel.set_ylabel(metric_name(view.metric))
    legend_below(figure, handles)
    return figure


ENTRY = Entry(
    kind="plot",
    name="scores",
    summary="a metric of an evaluation: along one axis of a sweep, around a circle, over two axes, or as bars",
    run=run,
    args=(Arg("score", "score", doc="a metric of an evaluation, with or without a data set"),),
    example='plot scores.refusal_rate over angle polar to "sweep.png"',
)
