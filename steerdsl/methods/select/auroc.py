"""`auroc`: the chance that a positive sample lies further along the direction than a negative one.

In: every sample's activation, projected on its layer's (first) direction. Out: a ranking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.ranking import live, projections, ranked
from steerdsl.methods.ranks import midranks
from steerdsl.methods.types import Candidates, Ranking
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(candidates: Candidates) -> Ranking:
    """The area under the ROC curve of r̂·h; ties count half.

    The figures are those of the prompts that were captured. Raises MethodError with one sample in
    a class, or when every direction is zero.
    """
    kept = live(candidates)
    figure = area(*projections(candidates, "auroc"))
    return ranked(candidates, {"auroc": figure}, -figure, kept)


def area(positive: Tensor, negative: Tensor) -> Tensor:
    """The AUROC of each column of two classes' figures [n, L], by midranks: float64 [L]."""
    import torch

    ranks = torch.stack([midranks(layer) for layer in torch.cat([positive, negative]).T], 1)
    n = len(positive)
    return (ranks[:n].sum(0) - n * (n + 1) / 2) / (n * len(negative))


ENTRY = Entry(
    kind="select",
    name="auroc",
    summary="the probability that a positive sample has a larger projection than a negative one",
    when=(
        "Use it when projections are skewed or have outliers, since only their order counts. With few prompts many "
        "layers reach 1; a high value is not evidence that steering works there."
    ),
    run=run,
    formula="(ΣP midranks - nP(nP+1)/2)/(nP·nN)",
    paper="Hanley and McNeil 1982",
    example="best = select layers of topic by auroc",
    needs=frozenset({"rows"}),
    aliases=("auc", "roc_auc", "roc"),
)
