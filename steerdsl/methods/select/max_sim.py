"""`max_sim`: the layer whose direction is most like all layers' directions.

In: the directions alone. Out: a ranking of the layers.
"""

from __future__ import annotations

from steerdsl.methods.ranking import live, ranked
from steerdsl.methods.types import Candidates, Ranking
from steerdsl.registry import Entry


def run(candidates: Candidates) -> Ranking:
    """The layer whose (first) direction has the largest mean cosine with all layers' directions.

    Raises MethodError when every direction is zero.
    """
    kept = live(candidates)
    unit = candidates.directions.unit[:, 0].double()
    similarity = unit @ unit[kept].mean(0)
    return ranked(candidates, {"mean_cosine": similarity}, -similarity, kept)


ENTRY = Entry(
    kind="select",
    name="max_sim",
    summary="the direction that is most like all layers' directions",
    when=(
        "Use it for one direction that is applied at many layers, as in Angular Steering. Not if the direction changes "
        "a lot with depth, because no layer is then typical."
    ),
    run=run,
    formula="argmax_l mean_m cos(r_l, r_m)",
    paper="Vu and Nguyen 2025, Angular Steering",
    example="best = select layers of topic by max_sim",
    aliases=("similarity", "max_cosine"),
)
