"""`silhouette`: how much closer samples lie to their own class than to the other.

In: every sample's activation, in the whole stream and not along a direction. Out: a ranking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.ranking import live, ranked, samples
from steerdsl.methods.types import Candidates, MethodError, Ranking
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(candidates: Candidates) -> Ranking:
    """The mean silhouette of the two classes by Euclidean distance, layer by layer.

    Raises MethodError with one sample in a class.
    """
    import torch

    kept = live(candidates)
    positive, negative = samples(candidates.positive), samples(candidates.negative)
    if min(len(positive), len(negative)) < 2:
        raise MethodError("silhouette needs two prompts in each class", "take more prompts")
    layers = range(positive.shape[1])
    values = torch.stack([silhouette(positive[:, i].double(), negative[:, i].double()) for i in layers])
    return ranked(candidates, {"silhouette": values}, -values, kept)


def silhouette(positive: Tensor, negative: Tensor) -> Tensor:
    """The mean of (b - a)/max(a, b) over the samples of two clusters [n, d]; a is the mean distance
    to the others of its own cluster and b to those of the other one."""
    import torch

    across = torch.cdist(positive, negative, compute_mode="donot_use_mm_for_euclid_dist")
    values = []
    for own, b in ((positive, across.mean(1)), (negative, across.mean(0))):
        a = torch.cdist(own, own, compute_mode="donot_use_mm_for_euclid_dist").sum(1) / (len(own) - 1)
        size = torch.maximum(a, b)
        values.append((b - a) / size.where(size > 0, 1.0))
    return torch.cat(values).mean()


ENTRY = Entry(
    kind="select",
    name="silhouette",
    summary="how much closer samples are to their own class than to the other, in the whole stream",
    when=(
        "Use it to see whether the classes form clusters in the whole stream and not only along the direction. Not for "
        "small differences: features unrelated to the concept count as well."
    ),
    run=run,
    formula="mean (b - a)/max(a, b), by Euclidean distance",
    paper="Rousseeuw 1987",
    example="best = select layers of topic by silhouette",
    needs=frozenset({"rows"}),
)
