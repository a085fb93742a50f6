"""`plot dispersion(topic)`: the notes' three curves, by layer; of several vectors in one picture.

In: both classes' streamed means and variances, of each vector. Out: three panels over one axis of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steerdsl.engine.plot_data import VectorView
from steerdsl.methods.ranking import curves
from steerdsl.methods.types import Candidates
from steerdsl.registry import Arg, Entry
from steerdsl.show.classes import classes, colours, looks, titled
from steerdsl.show.style import BLACK, GREY, MARKERS, PURPLE, legend_below, name_layers, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

SIDES = ("positive", "negative")
COSINES = (BLACK, GREY, PURPLE)


def run(view: VectorView) -> Figure:
    """The cosine of the class means; the mean and the largest over features of the unbiased variance,
    per class, on logarithmic axes (a variance of 0 is left out).

    Vectors of the same two classes, such as one read on `resid_pre` and one on `resid_mid`, share their
    colours and differ in their dashes. Raises MethodError without class statistics and with one prompt
    in a class.
    """
    every = (view, *view.others)
    figures = [_figures(one) for one in every]
    figure, axes = panels(3, height=7.4, title=titled(view, "dispersion"), about=view.about, sharex=True)
    handles: list[Line2D] = []
    for (one, pair, dash), found in zip(looks(every), figures, strict=True):
        handles += _curves(axes, one, found, pair, dash, named=len(every) > 1)
    axes[0].set_ylabel("cosine of the\nclass means")
    for panel, label in zip(axes[1:], ("mean", "largest"), strict=True):
        panel.set_yscale("log")
        panel.set_ylabel(f"{label} variance\nof a feature\n(activation²)")
    name_layers(axes[-1], sorted({layer for one in every for layer in one.vector.layers.tolist()}))
    legend_below(figure, handles)
    return figure


def _figures(view: VectorView) -> dict[str, list[float]]:
    """The curves by name, one number a layer; a variance of 0 is nan, which a logarithm leaves out."""
    positive, negative = classes(view, "dispersion")
    vector = view.vector
    found = curves(Candidates(positive, negative, vector.directions, vector.layers, len(vector.layers), vector.stream))
    return {
        name: (values if name == "cosine" else values.where(values > 0, float("nan"))).tolist()
        for name, values in found.items()
    }


def _curves(
    axes: Sequence[Axes], view: VectorView, figures: dict[str, list[float]], pair: int, dash: str, named: bool
) -> list[Line2D]:
    """Draw one vector's curves; returns the lines of its classes."""
    layers = view.vector.layers.tolist()
    suffix = f", {view.name}" if named else ""
    axes[0].plot(
        layers, figures["cosine"], color=COSINES[pair % len(COSINES)], linestyle=dash, marker=".", label=view.name
    )
    lines: list[Line2D] = []
    for side, label, colour, marker in zip(SIDES, view.labels, colours(pair), MARKERS, strict=False):
        for panel, what in zip(axes[1:], ("mean", "max"), strict=True):
            look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 3}
            line = panel.plot(layers, figures[f"{what}_variance_{side}"], label=f"{label}{suffix}", **look)
        lines += line
    return lines


ENTRY = Entry(
    kind="plot",
    name="dispersion",
    summary="cosine of the class means, mean and largest variance over features, by layer",
    run=run,
    args=(Arg("vector", "vector", doc="a vector extracted from data, or several: `dispersion(pre, mid)`", many=True),),
    formula="cos(μP, μN); mean_f Var, max_f Var per class",
    paper="notes on refusal ablation and activation-space geometry",
    example="plot dispersion(topic)",
)
