"""`max_norm`: the layer with the longest raw direction.

In: the directions alone. Out: a ranking of the layers.
"""

from __future__ import annotations

from steerdsl.methods.ranking import live, ranked
from steerdsl.methods.types import Candidates, Ranking
from steerdsl.registry import Entry


def run(candidates: Candidates) -> Ranking:
    """The layer whose (first) direction has the largest raw norm: on most models a late one.

    Raises MethodError when every direction is zero.
    """
    norm = candidates.directions.raw_norm[:, 0].double()
    return ranked(candidates, {"raw_norm": norm}, -norm, live(candidates))


ENTRY = Entry(
    kind="select",
    name="max_norm",
    summary="the largest raw norm",
    when=(
        "Use it to reproduce published choices of the longest direction. Not as a default: norms grow with depth, so "
        "on most models it picks a late layer."
    ),
    run=run,
    formula="argmax_l ‖r_l‖",
    paper="Vu and Nguyen 2025, Angular Steering",
    example="best = select layers of topic by max_norm",
    aliases=("norm",),
)
