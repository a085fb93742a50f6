"""`plot norms(topic)`: how far the class means are from the origin, and how wide the classes are, by layer.

In: class means, variances where the vector has them, and raw norms. Out: a panel of norms with straight
lines fitted, and one of variances with exponentials fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from steerdsl.engine.plot_data import VectorView
from steerdsl.registry import Arg, Entry
from steerdsl.show.classes import titled
from steerdsl.show.style import DIRECTION, MARKERS, NEGATIVE, POSITIVE, legend_below, name_layers, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LOOKS = tuple(zip((POSITIVE, NEGATIVE), MARKERS, strict=False))


class LineFit(NamedTuple):
    """A straight line `start + slope * layer` and its share of explained variance."""

    start: float
    slope: float
    r2: float


def run(view: VectorView, scale: str = "linear") -> Figure:
    """The norms of both class means and of the raw direction (of each, where a layer has several); under
    them the mean over features of each class's variance.

    The notes ask whether the distance from the origin grows linearly and the variance exponentially: the
    legend says the least-squares line of each norm, that of each logarithm of a variance as its growth a
    layer, and how much they explain.
    """
    sides = (view.positive, view.negative)
    wide = all(side is not None and side.variance is not None for side in sides)
    title, height = titled(view, "norms" + " and variances" * wide), 4.8 + 3.0 * wide
    figure, axes = panels(1 + wide, height=height, title=title, about=view.about, sharex=True)
    handles = _norms(axes[0], view, scale)
    if wide:
        handles += _variances(axes[1], view)
    name_layers(axes[-1], view.vector.layers.tolist())
    legend_below(figure, handles)
    return figure


def fit(x: Sequence[float], y: Sequence[float]) -> LineFit:
    """Least squares over the points whose y is finite; at least two of them."""
    import numpy as np

    at = np.isfinite(y)
    x_, y_ = np.asarray(x, dtype=float)[at], np.asarray(y, dtype=float)[at]
    slope, start = np.polyfit(x_, y_, 1)
    rest, whole = ((y_ - start - slope * x_) ** 2).sum(), ((y_ - y_.mean()) ** 2).sum()
    return LineFit(float(start), float(slope), float(1 - rest / whole) if whole > 0 else 1.0)


def _norms(panel: Axes, view: VectorView, scale: str) -> list[Line2D]:
    vector = view.vector
    handles: list[Line2D] = []
    # A span of chosen layers acts at every layer; its means are those of the layers it was read at.
    own = [int(layer) for layer in vector.meta.get("own_layers", vector.layers)]
    means = (vector.mean_positive, vector.mean_negative)
    for mean, label, (colour, marker) in zip(means, view.labels, LOOKS, strict=True):
        if mean is None:
            continue
        norms = mean.double().norm(dim=-1).tolist()
        line = panel.plot(own, norms, color=colour, marker=marker, label=f"mean of {label}")
        if len(own) > 2:
            start, slope, r2 = fit(own, norms)
            said = f"{start:.3g} {'-' if slope < 0 else '+'} {abs(slope):.3g} a layer, R² {r2:.2f}"
            line[0].set_label(f"mean of {label} ({said})")
            _line(panel, own, [start + slope * layer for layer in own], colour)
        handles += line
    raw = vector.directions.raw_norm
    label = "raw direction" if raw.shape[1] == 1 else f"raw directions ({raw.shape[1]} a layer)"
    look: dict[str, Any] = {"color": DIRECTION, "linestyle": ":", "marker": "."}
    handles.append(panel.plot(vector.layers.tolist(), raw.numpy(), label=label, **look)[0])
    panel.set_yscale(scale)
    if scale == "linear":
        panel.set_ylim(bottom=0)
    panel.set_ylabel("norm\n(activation units)")
    return handles


def _variances(panel: Axes, view: VectorView) -> list[Line2D]:
    handles: list[Line2D] = []
    layers = view.vector.layers.tolist()
    sides = (view.positive, view.negative)
    for side, label, (colour, marker) in zip(sides, view.labels, LOOKS, strict=True):
        assert side is not None and side.variance is not None
        values = [x if x > 0 else math.nan for x in side.variance.mean(-1).tolist()]
        line = panel.plot(layers, values, color=colour, marker=marker, markerfacecolor="white")
        logs = [math.log(x) if x > 0 else math.nan for x in values]
        said = ""
        if sum(map(math.isfinite, logs)) > 2:
            start, slope, r2 = fit(layers, logs)
            said = f" (× {math.exp(slope):.3g} a layer, R² {r2:.2f} of the logarithm)"
            _line(panel, layers, [math.exp(start + slope * layer) for layer in layers], colour)
        line[0].set_label(f"variance of {label}{said}")
        handles += line
    panel.set_yscale("log")
    panel.set_ylabel("mean variance of\na feature (activation²)")
    return handles


def _line(panel: Axes, x: Sequence[float], y: Sequence[float], colour: str) -> None:
    """A fitted curve: thin and dashed, under the points."""
    panel.plot(x, y, color=colour, linestyle="--", linewidth=1, alpha=0.6, zorder=1, label="_fit")


ENTRY = Entry(
    kind="plot",
    name="norms",
    summary="norms of the class means and of the raw direction, and the classes' variances, by layer, with fits",
    run=run,
    args=(
        Arg("vector", "vector", doc="any vector"),
        Arg("scale", "word", "linear", "the axis of norms", choices=("linear", "log")),
    ),
    formula="‖μP‖, ‖μN‖ ~ a + b l; ‖v‖; mean_f Var ~ exp(c + g l)",
    paper="notes on refusal ablation and activation-space geometry",
    example="plot norms(topic, scale: log)",
)
