"""Bars: a group for each data set, or for each word of a sweep's axis, and a panel for each word of a second one.

In: a `ScoreView`. Out: bars with whiskers for the intervals; lines in a panel for each word where the other axis is
one of numbers. Words are in no order, so that no line goes from one to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from steerdsl.engine.plot_data import ScoreView
from steerdsl.lang.variants import BASELINE, HELD_AGAINST
from steerdsl.show.lines import CONTROL_COLOURS, WRITTEN, along, room, say
from steerdsl.show.series import Series, labels_of, metric_name, series, words_of
from steerdsl.show.style import BLACK, GREY, SERIES, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure

WIDE = 3  # panels side by side
LONG = 26  # characters that the names of a panel's groups have room for, side by side


def by_data(view: ScoreView, lines: Sequence[Series]) -> Figure:
    """A group of bars for each data set, a colour for each variant."""
    datasets, variants = (list(dict.fromkeys(getattr(o, name) for o in lines)) for name in ("dataset", "variant"))
    width = min(8.0, 4.0 + 0.4 * len(datasets) * len(variants))
    title = f"{view.name}: {view.metric}"
    figure, (panel,) = panels(1, height=4.8, width=width, title=title, about=view.about)
    placed = [replace(line, dataset="", at=((float(datasets.index(line.dataset)),),)) for line in lines]
    handles = _grouped(panel, placed, every=True)
    most = [max(line.n for line in lines if line.dataset == name) for name in datasets]
    panel.set_xticks(range(len(datasets)), [f"{name}\n(n = {n})" for name, n in zip(datasets, most, strict=True)])
    room(panel, lines)
    panel.set_ylabel(metric_name(view.metric))
    legend_below(figure, list(handles.values()))
    return figure


def by_word(view: ScoreView) -> Figure:
    """A group of bars for each word of the first axis, a panel for each data set and word of the second."""
    (along_x, *others) = view.over
    plain = replace(view, over=(along_x,))
    return _panels_of_bars(view, _apart(series(plain), view, others[0] if others else None), along_x)


def by_word_and_number(view: ScoreView) -> Figure:
    """Lines along the axis of numbers, a panel for each data set and word of the other one."""
    (word,) = words_of(view)
    (number,) = (axis for axis in view.over if axis != word)
    plain = replace(view, over=(number,))
    lines = series(plain)
    groups = _apart(lines, view, word)
    title = f"{view.name}: {view.metric} over {' and '.join(view.over)}"
    return along(plain, lines, (groups, min(WIDE, len(groups)), title))


def _apart(lines: Sequence[Series], view: ScoreView, axis: str | None) -> dict[str, list[Series]]:
    """The lines of each panel, by its title. What is the same at every word is in all of them."""
    found: dict[str, list[Series]] = {}
    for dataset in dict.fromkeys(line.dataset for line in lines):
        own = [line for line in lines if line.dataset == dataset]
        if axis is None:
            found[dataset] = own
            continue
        for here in (f"{axis} {label}" for label in labels_of(view, axis)):
            title = here if dataset == axis else f"{dataset}, {here}"
            kept = [line for line in own if here in line.rest or not _says(line, axis)]
            found[title] = [replace(line, dataset=title, rest=_without(line, here)) for line in kept]
    return found


def _says(line: Series, axis: str) -> bool:
    return any(part.startswith(f"{axis} ") for part in line.rest)


def _without(line: Series, part: str) -> tuple[str, ...]:
    return tuple(other for other in line.rest if other != part)


def _panels_of_bars(view: ScoreView, groups: Mapping[str, Sequence[Series]], axis: str) -> Figure:
    labels = labels_of(view, axis)
    columns = min(WIDE if len(labels) <= 4 else 1 if len(labels) > 10 else 2, len(groups))
    rows = -(-len(groups) // columns)
    title = f"{view.name}: {view.metric} over {' and '.join(view.over)}"
    figure, axes = panels(rows, columns, height=4.0 * rows + 1.2, title=title, about=view.about, sharey=True)
    handles: dict[str, BarContainer] = {}
    steep = len(" ".join(labels)) > LONG * WIDE / columns
    for place, (panel, name) in enumerate(zip(axes, groups, strict=False)):
        handles = {**_grouped(panel, groups[name]), **handles}
        look: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if steep else {}
        panel.set_xticks(range(len(labels)), labels, **look)
        panel.set_xlim(-0.5, len(labels) - 0.5)
        panel.set_title(name)
        panel.set_xlabel(axis)
        if place % columns == 0:
            panel.set_ylabel(metric_name(view.metric))
    room(axes[0], [line for own in groups.values() for line in own])
    for unused in axes[len(groups) :]:
        unused.remove()
    legend_below(figure, list(handles.values()))
    return figure


def _grouped(panel: Axes, lines: Sequence[Series], every: bool = False) -> dict[str, BarContainer]:
    """Bars in a panel: those of one series have one colour. The figures are written over the steers', over all with
    `every`, where there is room."""
    names = list(dict.fromkeys(_name(line) for line in lines))
    thick = 0.8 / len(names)
    colours = iter(SERIES * len(names))
    handles = {}
    for place, name in enumerate(names):
        own = [line for line in lines if _name(line) == name]
        variant = own[0].variant
        colour = GREY if variant == BASELINE else CONTROL_COLOURS.get(variant) or next(colours)
        bars = [bar for line in own for bar in _places(line)]
        x = [at + (place - (len(names) - 1) / 2) * thick for at, *_ in bars]
        # The edge of a bar of height 0 is a line.
        heights = [mean for _, mean, *_ in bars]
        handles[name] = panel.bar(x, heights, 0.92 * thick, color=colour, edgecolor=colour, linewidth=2, label=name)
        # About the interval's middle: a mean may lie a rounding error outside its own interval.
        middle = [(low + high) / 2 for *_, low, high in bars]
        reach = [(high - low) / 2 for *_, low, high in bars]
        panel.errorbar(x, middle, reach, fmt="none", ecolor=BLACK, elinewidth=1, capsize=4)
        if every or (variant not in HELD_AGAINST and len(bars) <= WRITTEN):
            for place_x, (_, mean, _, high) in zip(x, bars, strict=True):
                if mean == mean:  # a variant without a figure has no bar
                    say(panel, place_x, max(y for y in (mean, high) if y == y), mean)
    panel.grid(False, axis="x")
    return handles


def _places(line: Series) -> Iterator[tuple[float, float, float, float]]:
    """Of each bar of a series its place, its height and the ends of its interval."""
    for (at,), mean, low, high in zip(line.at, line.mean, line.low, line.high, strict=True):
        yield at, mean, low, high


def _name(line: Series) -> str:
    return ", ".join((line.variant, *line.rest))
