"""`fisher`: between-class over within-class variance along the direction.

In: every sample's activation, projected on its layer's (first) direction. Out: a ranking.
"""

from __future__ import annotations

from steerdsl.methods.ranking import live, projections, ranked, ratio
from steerdsl.methods.types import Candidates, Ranking
from steerdsl.registry import Entry


def run(candidates: Candidates) -> Ranking:
    """The square of r̂·Δ over the sum of both classes' unbiased variances along r̂.

    The figures are those of the prompts that were captured. Raises MethodError with one sample in
    a class, or when every direction is zero.
    """
    kept = live(candidates)
    p, n = projections(candidates, "fisher")
    figure = ratio((p.mean(0) - n.mean(0)) ** 2, p.var(0) + n.var(0))
    return ranked(candidates, {"fisher": figure}, -figure, kept)


ENTRY = Entry(
    kind="select",
    name="fisher",
    summary="between-class over within-class variance along the direction",
    when=(
        "Use it to find layers where the direction separates the classes relative to their spread. It is computed on "
        "the prompts that the direction was fitted on; a high value is not evidence that steering works there."
    ),
    run=run,
    formula="(r̂·Δ)²/(r̂ᵀ(ΣP + ΣN)r̂)",
    paper="Fisher 1936",
    example="best = select layers of topic by fisher",
    needs=frozenset({"rows"}),
    aliases=("fdr", "fisher_ratio", "separability"),
)
