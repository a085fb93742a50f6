"""`pca`: the main axis of both classes pooled.

In: every sample's activation. Out: a direction for each layer, pointing toward the positive class.
"""

from __future__ import annotations

from steerdsl.methods.contrast import first_axes, layer_rows, require_samples
from steerdsl.methods.types import Activations, Directions
from steerdsl.registry import Entry


def run(positive: Activations, negative: Activations) -> Directions:
    """PC1 of the pooled, centred activations; the sign is that of the class means' difference.

    figures: the explained share of variance. Raises MethodError with one sample in a class, or when
    the classes agree at every layer.
    """
    import torch

    require_samples("pca", positive, negative)
    pooled = [torch.cat([layer_rows(a, i) for a in (positive, negative)]) for i in range(len(positive.mean))]
    return first_axes([rows - rows.mean(0) for rows in pooled], positive, negative)


ENTRY = Entry(
    kind="extract",
    name="pca",
    summary="the first principal component of both classes, pooled and centred",
    when=(
        "Use it when the concept is the largest difference among all prompts. Not when topic, length or wording vary "
        "more than the concept, because the axis is then something else."
    ),
    run=run,
    formula="PC1 of [P; N] - mean([P; N]), sign: v·(mean(P) - mean(N)) > 0",
    paper="Lee et al. 2025, section 3 (there called pca_center)",
    example="topic = extract pca from econ vs generic at last_token",
    needs=frozenset({"rows"}),
    aliases=("svd", "principal_component", "pc1"),
)
