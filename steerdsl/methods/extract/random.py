"""`random`: seeded random directions, the control for every other.

In: a seed and the layers. Out: a direction for each layer, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steerdsl.methods.types import Directions
from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(*, layers: Sequence[int], width: int, seed: int = 0, like: Tensor | None = None) -> Directions:
    """Unit rows of a spherical distribution: float32 [L, 1, width].

    `layers` are the model's layer numbers and `width` its d_model, which the engine supplies. Each
    layer has its own stream of numbers, so that what else is captured changes nothing. `like`,
    float64 [L], gives raw norms (for a control of the same length); 1 otherwise.
    """
    import torch

    rows = torch.stack([gaussian(seed, layer, width) for layer in layers])
    norm = torch.ones(len(rows), dtype=torch.float64) if like is None else like.double().flatten()
    return Directions((rows / rows.norm(dim=-1, keepdim=True)).float()[:, None], norm[:, None])


def gaussian(seed: int, stream: int, width: int) -> Tensor:
    """`width` normal numbers, float64; numpy's Philox, since its streams are the same everywhere."""
    import torch
    from numpy.random import Generator, Philox

    return torch.from_numpy(Generator(Philox(key=[seed, stream])).standard_normal(width))


ENTRY = Entry(
    kind="extract",
    name="random",
    summary="seeded random directions, as a control for other methods",
    when=(
        "Use it as a control in an experiment of your own. `evaluate` does not need it: it adds random controls by "
        "default."
    ),
    run=run,
    args=(
        Arg("seed", "int", 0, "a different seed gives different directions", least=0),
        Arg("like", "vector", None, "take the raw norms of this vector, layer by layer; by default they are 1"),
    ),
    formula="unit(g), g ~ N(0, I)",
    example="noise = extract random with seed: 1",
    aliases=("rand", "noise", "gaussian"),
)
