"""A metric over two axes of a sweep.

In: the series of a `ScoreView` with two axes. Out: one map for each data set and variant, all in one
range of colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steerdsl.engine.plot_data import ScoreView
from steerdsl.show.series import UNSTEERED, Series, axis_name, metric_name
from steerdsl.show.style import GREY, SEQUENTIAL, panels

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

TICKS = 10
WRITTEN = 14  # figures are written into the cells of a map row of at most this many columns


def heat(view: ScoreView, lines: Sequence[Series]) -> Figure:
    """The first axis to the right, the second up; a point that is missing is grey."""
    import matplotlib
    from matplotlib.colors import Normalize

    steered = [line for line in lines if line.variant not in UNSTEERED]
    columns = min(3, len(steered))
    rows = -(-len(steered) // columns)
    title = f"{view.name}: {view.metric} over {view.over[0]} and {view.over[1]}"
    figure, axes = panels(
        rows, columns, height=3.4 * rows + 1.1, title=title, about=view.about, sharex=True, sharey=True
    )
    colours = matplotlib.colormaps[SEQUENTIAL].with_extremes(bad=GREY)
    values = [x for line in steered for x in line.mean if not math.isnan(x)]
    norm = Normalize(min(values), max(values))
    for panel, line in zip(axes, steered, strict=False):
        x, y, cells = grid(line)
        image = panel.imshow(cells, cmap=colours, norm=norm, origin="lower", aspect="auto", interpolation="nearest")
        _ticks(panel, x, y)
        if len(x) * columns <= WRITTEN:
            _write(panel, cells, norm)
        panel.set_title(_panel_title(line, lines))
    for unused in axes[len(steered) :]:
        unused.remove()
    figure.supxlabel(axis_name(view, view.over[0]), size="medium")
    figure.supylabel(axis_name(view, view.over[1]), size="medium")
    figure.colorbar(image, ax=axes[: len(steered)], label=metric_name(view.metric))
    return figure


def grid(line: Series) -> tuple[list[float], list[float], NDArray[np.float64]]:
    """The values of both axes, and the means [second axis, first axis], nan where a point is missing."""
    import numpy as np

    x, y = (sorted({at[axis] for at in line.at}) for axis in (0, 1))
    cells = np.full((len(y), len(x)), np.nan)
    for at, mean in zip(line.at, line.mean, strict=True):
        cells[y.index(at[1]), x.index(at[0])] = mean
    return x, y, cells


def _ticks(panel: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    for values, name in ((x, panel.set_xticks), (y, panel.set_yticks)):
        step = -(-len(values) // TICKS)
        places = list(range(0, len(values), step))
        name(places, [f"{values[i]:g}" for i in places])
    panel.grid(False)


def _write(panel: Axes, cells: NDArray[np.float64], norm: Normalize) -> None:
    """The figure in each cell, light on dark and dark on light."""
    for row, values in enumerate(cells.tolist()):
        for column, value in enumerate(values):
            if not math.isnan(value):
                colour = "white" if norm(value) < 0.5 else "black"
                panel.text(column, row, f"{value:.3g}", ha="center", va="center", size="small", color=colour)


def _panel_title(line: Series, lines: Sequence[Series]) -> str:
    """The series, and the figures of what is unsteered and the same at every point."""
    said = []
    for variant in UNSTEERED:
        found = {
            mean
            for other in lines
            if (other.dataset, other.variant) == (line.dataset, variant) and other.rest in ((), line.rest)
            for mean in other.mean
        }
        said += [f"{variant} {found.pop():.3g}"] if len(found) == 1 else []
    return f"{line.label}\n({', '.join(said)})" if said else line.label
