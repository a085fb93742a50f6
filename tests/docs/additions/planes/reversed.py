"""`plane(v, reversed)`: the second axis comes from the features in reverse order.

In: the first direction. Out: a plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.span import build
from steerdsl.methods.types import Plane
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(first: Tensor, candidates: Tensor) -> Plane:
    """b1 = unit(first); b2 = the same numbers from the last to the first, across b1."""
    return build(first, first.flip(0), candidates, {"kind": "reversed"})


ENTRY = Entry(
    "plane",
    "reversed",
    "the same direction with its features reversed",
    run,
    formula="b2 = unit(flip v - (flip v·b1)b1)",
    example="turn = plane(topic, reversed)",
)
