"""`plane(u, v)`: the plane of two directions that the recipe names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.span import build
from steerdsl.methods.types import Plane
from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(first: Tensor, candidates: Tensor, *, second: Tensor) -> Plane:
    """b1 = unit(first); b2 = `second` [d], across b1. Candidates are only projected.

    Raises MethodError when both point the same way.
    """
    return build(first, second, candidates, {"kind": "vector"})


ENTRY = Entry(
    kind="plane",
    name="vector",
    summary="the plane of two named directions: written `plane(u, v)`",
    when=(
        "Use it to rotate from one concept toward another. Not for two nearly parallel directions, which do not define "
        "a plane."
    ),
    run=run,
    args=(Arg("second", "vector", doc="the second direction"),),
    formula="b1 = û; b2 = unit(v - (v·b1)b1)",
    example="turn = plane(warm, honest)",
)
