"""`plot lengths(topic)`: the raw norm of a vector at each layer.

In: a `VectorView`. Out: a picture of bars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.engine.plot_data import VectorView
from steerdsl.registry import Arg, Entry
from steerdsl.show.style import panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run(view: VectorView) -> Figure:
    """A bar for each layer."""
    figure, (panel,) = panels(1, height=3.0, title=f"{view.name}: length", about=view.about)
    panel.bar(view.vector.layers.tolist(), view.vector.directions.raw_norm[:, 0].tolist())
    return figure


ENTRY = Entry(
    "plot",
    "lengths",
    "the raw norm of a vector at each layer",
    run,
    args=(Arg("vector", "vector", doc="the vector"),),
    example="plot lengths(topic)",
)
