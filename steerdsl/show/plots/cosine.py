"""`plot cosine(topic)`: how alike the layers' directions are; `plot cosine(u, v)`: how alike two vectors are.

In: the directions of one vector, or of several. Out: a square map of one's cosines, or a line by layer for
each pair.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

from steerdsl.engine.plot_data import VectorView
from steerdsl.methods.types import MethodError
from steerdsl.registry import Arg, Entry
from steerdsl.show.classes import titled
from steerdsl.show.style import (
    BLACK,
    DIVERGING,
    GREY,
    MARKERS,
    SERIES,
    TICKS,
    legend_below,
    name_layers,
    panels,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


def run(view: VectorView) -> Figure:
    """Of one vector the cosine of each pair of directions, [K, K] with K = layers times directions a layer,
    zero directions grey; of several the cosine of each pair of vectors at the layers that both have.

    Raises MethodError when there is one direction only, and for vectors that cannot be compared.
    """
    import matplotlib

    if view.others:
        return _by_layer(view)

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


def _by_layer(view: VectorView) -> Figure:
    every = (view, *view.others)
    title = titled(view, "cosines by layer")
    figure, (panel,) = panels(1, height=4.8, title=title, about=view.about)
    layers: set[int] = set()
    d = view.vector.directions.unit.shape[-1]
    reach = 1.96 / math.sqrt(d)
    panel.axhspan(-reach, reach, color=GREY, alpha=0.2, linewidth=0, label=f"95% of random pairs (d = {d})")
    for k, (one, other) in enumerate(combinations(every, 2)):
        own, values = between(one, other)
        layers |= set(own)
        label = f"{one.name}, {other.name}"
        panel.plot(own, values, color=SERIES[k % len(SERIES)], marker=MARKERS[k % len(MARKERS)], label=label)
    panel.axhline(0, color=BLACK, linewidth=0.8)
    panel.set_ylim(-1.05, 1.05)
    panel.set_ylabel("cosine")
    name_layers(panel, sorted(layers))
    legend_below(figure, panel.get_legend_handles_labels()[0])
    return figure


def between(one: VectorView, other: VectorView) -> tuple[list[int], list[float]]:
    """The layers that both vectors have, and the cosine at each, nan where a direction is zero. Raises
    MethodError where there is no such layer, widths differ, or a layer has several directions."""
    u, v = one.vector, other.vector
    both = f"`{one.name}` and `{other.name}`"
    for view in (one, other):
        if view.vector.directions.unit.shape[1] != 1:
            raise MethodError(f"`{view.name}` has several directions a layer", "compare vectors that have one")
    if u.directions.unit.shape[-1] != v.directions.unit.shape[-1]:
        raise MethodError(f"{both} are of different widths", "compare vectors of the same model")
    own = sorted(set(u.layers.tolist()) & set(v.layers.tolist()))
    if not own:
        raise MethodError(f"{both} have no layer in common", "extract both at the same layers")
    rows = [x.directions.unit[[x.layers.tolist().index(layer) for layer in own], 0].double() for x in (u, v)]
    found = (rows[0] * rows[1]).sum(-1)
    live = rows[0].any(dim=-1) & rows[1].any(dim=-1)
    return own, found.masked_fill(~live, math.nan).tolist()


def cosines(unit: Tensor) -> Tensor:
    """The cosines [L·k, L·k], float64, of unit rows [L, k, d]; nan for zero rows."""
    rows = unit.flatten(0, 1).double()
    live = rows.any(dim=-1)
    return (rows @ rows.T).masked_fill(~(live[:, None] & live), float("nan"))


ENTRY = Entry(
    kind="plot",
    name="cosine",
    summary="the cosines between layers' directions, as a map; for several vectors, with each other by layer",
    run=run,
    args=(Arg("vector", "vector", doc="any vector with several layers, or several: `cosine(u, v)`", many=True),),
    formula="r̂_l·r̂_m; û_l·v̂_l",
    paper="Vu and Nguyen 2025, Angular Steering",
    example="plot cosine(topic)",
)
