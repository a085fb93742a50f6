"""`cohen_d`: the difference of the means along the direction, in pooled standard deviations.

In: every sample's activation, projected on its layer's (first) direction. Out: a ranking.
"""

from __future__ import annotations

from steerdsl.methods.ranking import live, projections, ranked, ratio
from steerdsl.methods.types import Candidates, Ranking
from steerdsl.registry import Entry


def run(candidates: Candidates) -> Ranking:
    """r̂·Δ over the pooled standard deviation along r̂.

    The figures are those of the prompts that were captured. Raises MethodError with one sample in
    a class, or when every direction is zero.
    """
    kept = live(candidates)
    p, n = projections(candidates, "cohen_d")
    pooled = ((len(p) - 1) * p.var(0) + (len(n) - 1) * n.var(0)) / (len(p) + len(n) - 2)
    figure = ratio(p.mean(0) - n.mean(0), pooled.sqrt())
    return ranked(candidates, {"cohen_d": figure}, -figure, kept)


ENTRY = Entry(
    kind="select",
    name="cohen_d",
    summary="the difference of the means along the direction, in pooled standard deviations",
    when=(
        "Use it for a familiar effect size of the separation along the direction. It is computed on the prompts that "
        "the direction was fitted on; a high value is not evidence that steering works there."
    ),
    run=run,
    formula="r̂·Δ/s, s² = ((nP-1)sP² + (nN-1)sN²)/(nP + nN - 2)",
    paper="Cohen 1988, section 2.2",
    example="best = select layers of topic by cohen_d",
    needs=frozenset({"rows"}),
    aliases=("cohen", "cohens_d", "effect_size"),
)
