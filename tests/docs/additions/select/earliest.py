"""The earliest layer that has a direction.

In: the layer numbers. Out: a ranking of the layers.
"""

from __future__ import annotations

from steerdsl.methods.ranking import live, ranked
from steerdsl.methods.types import Candidates, Ranking
from steerdsl.registry import Arg, Entry


def run(candidates: Candidates, skip: int = 0) -> Ranking:
    """Layers in their order, the first `skip` left out."""
    number = candidates.layers.double()
    return ranked(candidates, {"number": number}, number, live(candidates) & (candidates.layers >= skip))


ENTRY = Entry(
    "select",
    "earliest",
    "the earliest layer",
    run,
    args=(Arg("skip", "int", 0, "how many layers are left out", least=0),),
    formula="argmin l",
    example="best = select layers of topic by earliest with skip: 1",
)
