"""`plane(v, random)`: a direction and a random second axis, the control for every other plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.extract.random import gaussian
from steerdsl.methods.span import build
from steerdsl.methods.types import Plane
from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor

STREAM = 2**63  # not a layer number, so that the axis is not some layer's random direction


def run(first: Tensor, candidates: Tensor, seed: int = 0) -> Plane:
    """b1 = unit(first); b2 = a seeded random direction across b1. Candidates are only projected."""
    return build(first, gaussian(seed, STREAM, len(first)), candidates, {"kind": "random", "seed": seed})


ENTRY = Entry(
    kind="plane",
    name="random",
    summary="a direction and a seeded random second axis, as a control for other planes",
    when=(
        "Use it as a control next to every other plane. If it does as well, the other plane's second axis does not "
        "matter."
    ),
    run=run,
    args=(Arg("seed", "int", 0, "a different seed gives a different axis", least=0),),
    formula="b1 = v̂; b2 = unit(g - (g·b1)b1), g ~ N(0, I)",
    paper="the control for a rotation sweep",
    example="turn = plane(topic, random, seed: 1)",
)
