"""`pca_diff`: the main axis of the differences within pairs.

In: paired rows of both classes. Out: a direction for each layer.
"""

from __future__ import annotations

from steerdsl.methods.contrast import first_axes, layer_rows, require_pairs
from steerdsl.methods.types import Activations, Directions
from steerdsl.registry import Entry


def run(positive: Activations, negative: Activations) -> Directions:
    """PC1 of the pair differences D about the origin, signed so that mean(D·v) > 0.

    D is not centred (this is the PCA of [D; -D]): centring would remove the mean difference, which
    is the signal. figures: the explained share of D's sum of squares. Raises MethodError without
    pairs, with one pair, or when the classes agree at every layer.
    """
    require_pairs("pca_diff", positive, negative)
    pairs = [layer_rows(positive, i) - layer_rows(negative, i) for i in range(len(positive.mean))]
    return first_axes(pairs, positive, negative)


ENTRY = Entry(
    kind="extract",
    name="pca_diff",
    summary="the first principal component of the pair differences, not centred",
    when=(
        "Use it with pairs of prompts that differ only in the concept. Not for two unrelated data sets, whose rows are "
        "not pairs."
    ),
    run=run,
    formula="PC1 of [D; -D], D = h⁺ - h⁻, sign: mean(D·v) > 0",
    paper="Zou et al. 2023, section 3.1",
    example="honest = extract pca_diff from statements at last_token",
    needs=frozenset({"pairs"}),
    aliases=("repe", "lat", "reading_vector", "representation_reading", "pca_pairs"),
)
