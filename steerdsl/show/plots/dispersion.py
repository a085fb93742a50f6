"""`plot dispersion(topic)`: the notes' three curves, by layer.

In: both classes' streamed means and variances. Out: three panels over one axis of layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.engine.views import VectorView
from steerdsl.methods.ranking import curves
from steerdsl.methods.types import Candidates
from steerdsl.registry import Arg, Entry
from steerdsl.show.classes import classes, titled
from steerdsl.show.style import BLACK, NEGATIVE, POSITIVE, legend_below, name_layers, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run(view: VectorView) -> Figure:
    """The cosine of the class means; the mean and the largest over features of the unbiased variance,
    per class, on logarithmic axes (a variance of 0 is left out).

    Raises MethodError without class statistics and with one prompt in a class.
    """
    positive, negative = classes(view, "dispersion")
    vector = view.vector
    layers = vector.layers.tolist()
    figures = curves(Candidates(positive, negative, vector.directions, vector.layers, len(layers), vector.stream))
    figure, axes = panels(3, height=7.0, title=titled(view, "dispersion"), sharex=True)
    axes[0].plot(layers, figures["cosine"].numpy(), color=BLACK, marker=".")
    axes[0].set_ylabel("cosine of the\nclass means")
    for panel, what, label in zip(axes[1:], ("mean", "max"), ("mean", "largest"), strict=True):
        for side, name, colour, line in zip(
            ("positive", "negative"), view.labels, (POSITIVE, NEGATIVE), ("-", "--"), strict=True
        ):
            values = figures[f"{what}_variance_{side}"]
            values = values.where(values > 0, float("nan"))
            panel.plot(layers, values.numpy(), color=colour, linestyle=line, marker=".", label=name)
        panel.set_yscale("log")
        panel.set_ylabel(f"{label} variance\nof a feature\n(activation²)")
    name_layers(axes[-1], layers)
    legend_below(figure, axes[1].get_lines())
    return figure


ENTRY = Entry(
    kind="plot",
    name="dispersion",
    summary="cosine of the class means, mean and largest variance over features, by layer",
    run=run,
    args=(Arg("vector", "vector", doc="a vector extracted from data"),),
    formula="cos(μP, μN); mean_f Var, max_f Var per class",
    paper="notes on refusal ablation and activation-space geometry",
    example="plot dispersion(topic)",
)
