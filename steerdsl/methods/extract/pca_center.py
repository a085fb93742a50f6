"""`pca_center`: the main axis of both classes, each pair centred on its own middle.

In: paired rows of both classes. Out: a direction for each layer.
"""

from __future__ import annotations

from steerdsl.methods.contrast import first_axes, layer_rows, require_pairs
from steerdsl.methods.types import Activations, Directions
from steerdsl.registry import Entry


def run(positive: Activations, negative: Activations) -> Directions:
    """PC1 of both classes after each pair's own middle is taken away (not the middle of all).

    The centred pair is ±D/2, so the axis is pca_diff's. Errors as for pca_diff.
    """
    import torch

    require_pairs("pca_center", positive, negative)
    pooled = []
    for i in range(len(positive.mean)):
        high, low = layer_rows(positive, i), layer_rows(negative, i)
        middle = (high + low) / 2
        pooled.append(torch.cat([high - middle, low - middle]))
    return first_axes(pooled, positive, negative)


ENTRY = Entry(
    kind="extract",
    name="pca_center",
    summary="the first principal component of both classes, each pair centred on its midpoint",
    when=(
        "Use it with pairs to reproduce repeng; the axis is that of `pca_diff`. Not for two unrelated data sets, whose "
        "rows are not pairs."
    ),
    run=run,
    formula="PC1 of [h⁺ - m; h⁻ - m], m = (h⁺ + h⁻)/2 of the pair",
    paper="vgel/repeng (pca_center)",
    example="honest = extract pca_center from statements at last_token",
    needs=frozenset({"pairs"}),
    aliases=("repeng",),
)
