"""Methods that make a direction for each layer; a method's function has its name in the language."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.random import Generator, Philox
from torch import Tensor

from steerdsl.eject.parts.reading import Statistics
from steerdsl.eject.parts.vectors import Vector


def diffmean(
    positive: Statistics,
    negative: Statistics,
    layers: Sequence[int],
) -> Vector:
    """The difference of the class means (Rimsky et al. 2024; Arditi et al. 2024)."""
    raw = positive.mean - negative.mean
    # A difference this small is rounding: where a template puts the same token into every
    # prompt, both classes are equal before the first attention layer.
    usual = torch.maximum(positive.median_norm(), negative.median_norm())
    zero_rows = raw.norm(dim=-1) <= 1e-6 * usual
    if zero_rows.all():
        raise SystemExit("both classes have the same activations at every layer")
    norm = raw.norm(dim=-1, keepdim=True).masked_fill(zero_rows[:, None], 0.0)
    unit = raw.masked_fill(zero_rows[:, None], 0.0) / norm.where(norm > 0, 1.0)
    return Vector(
        list(layers),
        unit[:, None].float(),
        norm,
        positive.mean.float(),
        negative.mean.float(),
    )


def gaussian(seed: int, stream: int, width: int) -> Tensor:
    """`width` normal numbers; numpy's Philox, whose streams are the same everywhere."""
    generator = Generator(Philox(key=[seed, stream]))
    return torch.from_numpy(generator.standard_normal(width))


def random(
    layers: Sequence[int],
    width: int,
    seed: int = 0,
    like: Vector | None = None,  # if: random_like
) -> Vector:
    """Random directions, a stream of numbers for each layer: the control for others.

    like: a vector whose raw norms these get, so that adding them is as strong.  # if: random_like
    """
    rows = torch.stack([gaussian(seed, layer, width) for layer in layers])
    unit = (rows / rows.norm(dim=-1, keepdim=True)).float()
    norm = torch.ones(len(rows), 1, dtype=torch.float64)
    if like is not None:  # if: random_like
        raw = (like.raw_norm[..., None] * like.unit.double()).sum(dim=1)  # if: random_like
        norm = raw.norm(dim=-1)[:, None]  # if: random_like
    return Vector(list(layers), unit[:, None], norm)
