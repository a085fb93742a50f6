"""`plot norms(topic)`: how far from the origin the class means lie, and how long the direction is, by layer.

In: class means, where the vector has them, and raw norms. Out: one panel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.engine.views import VectorView
from steerdsl.registry import Arg, Entry
from steerdsl.show.classes import titled
from steerdsl.show.style import DIRECTION, NEGATIVE, POSITIVE, legend_below, name_layers, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run(view: VectorView, scale: str = "linear") -> Figure:
    """The norms of both class means and of the raw direction (of each, where a layer has several).

    A straight line is linear growth with `scale: linear` and exponential growth with `scale: log`.
    """
    vector = view.vector
    figure, (panel,) = panels(1, height=4.8, title=titled(view, "norms"))
    layers, lines = vector.layers.tolist(), []
    # A span of chosen layers acts at every layer; its means are those of the layers it was read at.
    own = [int(layer) for layer in vector.meta.get("own_layers", vector.layers)]
    for mean, label, colour, line in zip(
        (vector.mean_positive, vector.mean_negative), view.labels, (POSITIVE, NEGATIVE), ("-", "--"), strict=True
    ):
        if mean is not None:
            norms = mean.double().norm(dim=-1).numpy()
            lines += panel.plot(own, norms, color=colour, linestyle=line, marker=".", label=f"mean of {label}")
    raw = vector.directions.raw_norm
    label = "raw direction" if raw.shape[1] == 1 else f"raw directions ({raw.shape[1]} a layer)"
    shown = panel.plot(layers, raw.numpy(), color=DIRECTION, linestyle=":", marker=".", label=label)
    panel.set_yscale(scale)
    if scale == "linear":
        panel.set_ylim(bottom=0)
    panel.set_ylabel("norm (activation units)")
    name_layers(panel, layers)
    legend_below(figure, [*lines, shown[0]])
    return figure


ENTRY = Entry(
    kind="plot",
    name="norms",
    summary="norms of the class means and of the raw direction, by layer",
    run=run,
    args=(
        Arg("vector", "vector", doc="any vector"),
        Arg("scale", "word", "linear", "the axis of norms", choices=("linear", "log")),
    ),
    formula="‖μP‖, ‖μN‖, ‖v‖",
    paper="notes on refusal ablation and activation-space geometry",
    example="plot norms(topic, scale: log)",
)
