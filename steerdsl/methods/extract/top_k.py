"""`top_k`: the k main directions in which positive samples differ from the negative mean.

In: every sample's activation. Out: k orthonormal directions for each layer.
"""

from __future__ import annotations

from steerdsl.methods.axes import principal
from steerdsl.methods.contrast import layer_rows, require_samples, toward_positive
from steerdsl.methods.types import Activations, Directions, MethodError
from steerdsl.registry import Arg, Entry


def run(positive: Activations, negative: Activations, k: int = 3) -> Directions:
    """SVD of h⁺ - mean(N), about the origin; unit float32 [L, k, d], best explained first.

    figures: the share of the sum of squares that each direction explains. Raises MethodError when
    k is more than the samples or dimensions allow, or when the classes agree at every layer.
    """
    import torch

    require_samples("top_k", positive, negative)
    most = min(positive.n, positive.mean.shape[-1])
    if not 1 <= k <= most:
        raise MethodError(f"k must be between 1 and {most}, not {k}", "take more prompts, or a smaller k")
    found = [principal(layer_rows(positive, i) - mean, k) for i, mean in enumerate(negative.mean.double())]
    axes = torch.stack([axis for axis, _ in found])
    return toward_positive(axes, positive, negative, {"explained": [share.tolist() for _, share in found]})


ENTRY = Entry(
    kind="extract",
    name="top_k",
    summary="the first k directions in which positive samples differ from the negative mean",
    when=(
        "Use it to ablate a concept that takes several directions. Not for `clamp`, planes and conditions, which need "
        "a single direction."
    ),
    run=run,
    args=(Arg("k", "int", 3, "the number of directions", least=1),),
    formula="the first k right singular vectors of h⁺ - mean(N)",
    paper="Eckart and Young 1936 (the best approximation of rank k)",
    example="topic = extract top_k from econ vs generic with k: 3",
    needs=frozenset({"rows"}),
    aliases=("topk", "subspace", "svd_k"),
)
