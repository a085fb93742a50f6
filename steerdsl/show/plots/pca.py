"""`plot pca(topic)`: both classes' activations on their two main axes, layer by layer.

In: every sample's activation. Out: one panel for each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steerdsl.engine.plot_data import VectorView
from steerdsl.methods.types import MethodError
from steerdsl.registry import Arg, Entry
from steerdsl.show.classes import classes, titled
from steerdsl.show.style import BLACK, MARKERS, NEGATIVE, POSITIVE, legend_below, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

PANELS = 6


def run(view: VectorView, layer: Sequence[int] | None = None) -> Figure:
    """The first two principal components of the pooled, centred activations, with the class means.

    Of the layers named, or of all, up to six, evenly spaced among those whose activations differ. The
    positive class is to the right. Raises MethodError without rows, with fewer than three prompts,
    at a layer that the vector does not have, and where all activations are the same.
    """
    rows, n = _pooled(view)
    shown = _layers(view, rows, layer)
    columns = min(3, len(shown))
    down = -(-len(shown) // columns)
    width = 8.0 if columns > 1 else 6.0
    height = 5.2 if down == columns == 1 else 2.9 * down + 1.0
    figure, axes = panels(down, columns, height=height, width=width, title=titled(view, "PCA"), about=view.about)
    for panel, i in zip(axes, shown, strict=False):
        _panel(panel, rows[:, i], n, view, int(view.vector.layers[i]))
    for unused in axes[len(shown) :]:
        unused.remove()
    legend_below(figure, axes[0].get_legend_handles_labels()[0])
    return figure


def _pooled(view: VectorView) -> tuple[Tensor, int]:
    """All samples [n, L, d], float32, the positive ones first, and how many these are."""
    import torch

    positive, negative = classes(view, "pca")
    assert positive.rows is not None and negative.rows is not None, "the entry needs rows"
    rows = torch.cat([positive.rows, negative.rows])
    if len(rows) < 3:
        raise MethodError(f"pca needs three prompts, and `{view.name}` has {len(rows)}", "take more prompts")
    return rows, len(positive.rows)


def _layers(view: VectorView, rows: Tensor, layer: Sequence[int] | None) -> list[int]:
    """Which rows of the vector are drawn."""
    import torch

    numbers = view.vector.layers.tolist()
    if absent := [x for x in layer or () if x not in numbers]:
        raise MethodError(
            f"`{view.name}` has no layer {absent[0]}", f"write a layer from {min(numbers)} to {max(numbers)}"
        )
    wanted = range(len(numbers)) if layer is None else [numbers.index(x) for x in layer]
    live = [i for i in wanted if not torch.equal(rows[:, i], rows[:1, i].expand_as(rows[:, i]))]
    if not live:
        where = "every layer" if layer is None else f"layer {', '.join(map(str, layer))}"
        raise MethodError(
            f"all activations of `{view.name}` at {where} are the same", "choose another layer or position"
        )
    places = torch.linspace(0, len(live) - 1, min(PANELS, len(live))).round().int().tolist()
    return [live[i] for i in places]


def components(rows: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Coordinates [samples, 2] of rows [samples, d] on their principal axes, and the axes' shares of
    variance [2], float64. The first `n` rows' mean is at the right; the second axis's largest
    component is positive."""
    import torch

    from steerdsl.methods.axes import principal

    centred = rows.double() - rows.double().mean(0)
    axes, shares = principal(centred, 2)
    if len(axes) < 2:  # activations of one feature have no second axis
        axes, shares = torch.cat([axes, torch.zeros_like(axes)]), torch.cat([shares, torch.zeros_like(shares)])
    coordinates = centred @ axes.T
    if axes[1][axes[1].abs().argmax()] < 0:
        coordinates[:, 1].neg_()
    if coordinates[:n, 0].mean() < 0:
        coordinates[:, 0].neg_()
    return coordinates, shares


def _panel(panel: Axes, rows: Tensor, n: int, view: VectorView, layer: int) -> None:

    coordinates, shares = components(rows, n)
    for part, label, colour, marker in zip(
        (coordinates[:n], coordinates[n:]), view.labels, (POSITIVE, NEGATIVE), MARKERS, strict=False
    ):
        x, y = part.T.numpy()
        panel.scatter(x, y, s=16, c=colour, marker=marker, alpha=0.7, linewidths=0, label=label)
        panel.plot(
            x.mean(), y.mean(), marker, color=colour, markeredgecolor=BLACK, markersize=9, label=f"mean of {label}"
        )
    panel.set_title(f"layer {layer}")
    panel.set_xlabel(f"PC1 ({shares[0]:.0%} of variance)")
    panel.set_ylabel(f"PC2 ({shares[1]:.0%})")
    panel.locator_params(nbins=5)


ENTRY = Entry(
    kind="plot",
    name="pca",
    summary="both classes on the first two principal components of their activations, layer by layer",
    run=run,
    args=(
        Arg("vector", "vector", doc="a vector extracted from data"),
        Arg("layer", "layers", None, "a layer, or one that `select` chose; by default six layers, evenly spaced"),
    ),
    formula="PC1, PC2 of [P; N] - mean",
    example="plot pca(topic, layer: 12)",
    needs=frozenset({"rows"}),
)
