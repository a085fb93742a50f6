"""What every choice of layer shares: which layers may win, figures of the classes, the order.

In: `Candidates`, and a score for each of their layers. Out: a `Ranking`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from steerdsl.methods.types import Activations, Candidates, MethodError, Ranking

if TYPE_CHECKING:
    from torch import Tensor


def deep(layers: Tensor, n_layers: int, share: float) -> Tensor:
    """Which of `layers` [L] are among the last `share` of the model (Arditi's rule): bool [L]."""
    return layers >= int(n_layers * (1.0 - share))


def ranked(
    candidates: Candidates,
    figures: Mapping[str, Tensor],
    score: Tensor,
    kept: Tensor,
    ties: Tensor | None = None,
    notes: tuple[str, ...] = (),
) -> Ranking:
    """The kept layers by score, the smallest first; equal scores by `ties`, then by layer."""
    second = score if ties is None else ties
    best = sorted(kept.nonzero().flatten().tolist(), key=lambda i: (float(score[i]), float(second[i]), i))
    order = [int(candidates.layers[i]) for i in best]
    return Ranking(figures, score.masked_fill(~kept, float("nan")), kept, order, notes)


def live(candidates: Candidates) -> Tensor:
    """Which layers have a direction: bool [L]. MethodError when none has."""
    found = candidates.directions.unit.any(dim=-1).any(dim=-1)
    if not bool(found.any()):
        raise MethodError("every layer's direction is zero, so there is none to choose", "compare other data sets")
    return found


def projections(candidates: Candidates, criterion: str) -> tuple[Tensor, Tensor]:
    """Both classes' samples along each layer's first direction: float64 [n, L] each.

    Raises MethodError with one sample in a class.
    """
    r = candidates.directions.unit[:, 0].double()
    found = []
    for name, activations in (("positive", candidates.positive), ("negative", candidates.negative)):
        rows = samples(activations)
        if len(rows) < 2:
            raise MethodError(
                f"{criterion} needs two prompts in each class, and the {name} class has one", "take more prompts"
            )
        found.append((rows.double() * r).sum(-1))
    return found[0], found[1]


def samples(activations: Activations) -> Tensor:
    """The class's rows, float32 [n, L, d], which the entry's `needs` promises."""
    assert activations.rows is not None, "the criterion's entry must declare needs={'rows'}"
    return activations.rows


def ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """top/bottom, infinite where there is no spread, and 0 where there is no difference either."""
    return (top / bottom).where(top != 0, 0.0)


def curves(candidates: Candidates) -> dict[str, Tensor]:
    """The notes' three curves, float64 [L] each: the cosine of the class means, and per class the
    mean and the largest over features of the unbiased variance; with ‖mean(P) - mean(N)‖."""
    import torch

    figures: dict[str, Tensor] = {}
    means = [a.mean.double() for a in (candidates.positive, candidates.negative)]
    size = means[0].norm(dim=-1) * means[1].norm(dim=-1)
    figures["cosine"] = (means[0] * means[1]).sum(-1) / torch.where(size > 0, size, 1.0)
    for name, activations in (("positive", candidates.positive), ("negative", candidates.negative)):
        if activations.variance is None:
            raise MethodError(
                f"dispersion needs two prompts in each class, and the {name} class has one", "take more prompts"
            )
        variance = activations.variance.double()
        figures[f"mean_variance_{name}"] = variance.mean(-1)
        figures[f"max_variance_{name}"] = variance.amax(-1)
    figures["difference"] = (means[0] - means[1]).norm(dim=-1)
    return figures
