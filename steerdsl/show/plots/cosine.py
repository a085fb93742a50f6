"""`plot cosine(topic)`: how alike the layers' directions are.

In: the directions of a vector. Out: a square map of their cosines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.engine.views import VectorView
from steerdsl.methods.types import MethodError
from steerdsl.registry import Arg, Entry
from steerdsl.show.classes import titled
from steerdsl.show.style import DIVERGING, GREY, TICKS, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


def run(view: VectorView) -> Figure:
    """The cosine of each pair of directions, [K, K] with K = layers times directions a layer.

    Zero directions are grey. Raises MethodError when there is one direction only.
    """
    import matplotlib

    unit = view.vector.directions.unit
    if unit.shape[0] * unit.shape[1] < 2:
        raise MethodError(
            f"`{view.name}` has one direction, and `cosine` compares several", "extract it at more layers"
        )
    figure, (panel,) = panels(1, width=7.0, height=6.4, title=titled(view, "cosines of directions"), about=view.about)
    colours = matplotlib.colormaps[DIVERGING].with_extremes(bad=GREY)
    image = panel.imshow(cosines(unit).numpy(), vmin=-1, vmax=1, cmap=colours, origin="lower", interpolation="nearest")
    k = unit.shape[1]
    layers = view.vector.layers.tolist()
    step = -(-len(layers) // TICKS)
    places = [i * k + (k - 1) / 2 for i in range(0, len(layers), step)]
    panel.set_xticks(places, [str(layer) for layer in layers[::step]])
    panel.set_yticks(places, [str(layer) for layer in layers[::step]])
    each = "" if k == 1 else f" ({k} directions each)"
    panel.set_xlabel(f"layer{each}")
    panel.set_ylabel(f"layer{each}")
    panel.grid(False)
    figure.colorbar(image, ax=panel, label="cosine", shrink=0.85)
    return figure


def cosines(unit: Tensor) -> Tensor:
    """The cosines [L·k, L·k], float64, of unit rows [L, k, d]; nan for zero rows."""
    rows = unit.flatten(0, 1).double()
    live = rows.any(dim=-1)
    return (rows @ rows.T).masked_fill(~(live[:, None] & live), float("nan"))


ENTRY = Entry(
    kind="plot",
    name="cosine",
    summary="the cosines between the layers' directions, as a map",
    run=run,
    args=(Arg("vector", "vector", doc="any vector with several layers"),),
    formula="r̂_l·r̂_m",
    paper="Vu and Nguyen 2025, Angular Steering",
    example="plot cosine(topic)",
)
