"""Criteria that rank layers, best first; a criterion's function has its name in the language."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from steerdsl.eject.parts.reading import Statistics
from steerdsl.eject.parts.settings import N_LAYERS
from steerdsl.eject.parts.vectors import Vector


def ranks(x: Tensor) -> Tensor:
    """The rank of each number from 1; equal ones share the mean of their ranks."""
    _, where, counts = torch.unique(x, return_inverse=True, return_counts=True)
    middle: Tensor = counts.cumsum(0).to(torch.float64) - (counts - 1) / 2
    return middle[where]


def dispersion(
    vector: Vector,
    positive: Statistics,
    negative: Statistics,
    candidates: Sequence[int],
    deepest: float = 0.2,
) -> list[int]:
    """The candidate layers where each class is tight for its size and the two lie apart.

    Three figures are ranked, the smallest first, and the ranks are weighed 3, 2 and 1: the
    mean and the largest variance of a feature, for the size of the class mean, of the wider
    class; and the cosine of the class means. Left out are layer 0, the last `deepest` share
    of the model, layers where the means agree, and layers where they lie less than a
    quarter as far apart, for their size, as at the best layer: where every prompt ends in
    the same template, the first layers are tight and say nothing of the classes.
    """
    classes = (positive, negative)
    if min(c.n for c in classes) < 2:
        raise SystemExit("a variance needs two prompts in each class")
    rows = [vector.layers.index(layer) for layer in candidates]
    layers = torch.tensor(candidates)
    means = [c.mean[rows] for c in classes]
    variances = [c.squares[rows] / (c.n - 1) for c in classes]
    sizes = torch.stack([mean.norm(dim=-1) for mean in means])
    product = sizes[0] * sizes[1]
    cosine = (means[0] * means[1]).sum(-1) / torch.where(product > 0, product, 1.0)
    power = sizes.square() / means[0].shape[-1]
    spread = torch.stack([variance.mean(-1) for variance in variances]) / power
    peak = torch.stack([variance.amax(-1) for variance in variances]) / power
    figures = [x.nan_to_num(nan=torch.inf).amax(0) for x in (spread, peak)] + [cosine]

    gap = (means[0] - means[1]).norm(dim=-1)
    size = sizes.amax(0)
    separation = gap / size.where(size > 0, 1.0)
    apart = (separation >= 1e-3) & (gap > 0)
    if not apart.any():
        raise SystemExit("the class means agree at every layer")
    placed = (layers > 0) & (layers < int(N_LAYERS * (1.0 - deepest)))
    kept = (apart & placed) if (apart & placed).any() else apart
    kept = kept & (separation >= 0.25 * separation[kept].max())
    score = torch.full(kept.shape, torch.inf, dtype=torch.float64)
    weighed = zip((3, 2, 1), figures, strict=True)
    score[kept] = sum(weight * ranks(figure[kept]) for weight, figure in weighed) / 6
    best = sorted(
        kept.nonzero().flatten().tolist(),
        key=lambda i: (float(score[i]), float(cosine[i]), i),
    )
    return [int(layers[i]) for i in best]


def max_norm(vector: Vector, candidates: Sequence[int]) -> list[int]:
    """The candidate layers by the length of their raw vectors, the longest first."""
    live = [i for i in candidates if vector.unit[vector.layers.index(i)].any()]
    length = {i: float(vector.raw_norm[vector.layers.index(i), 0]) for i in live}
    return sorted(live, key=lambda i: (-length[i], i))
