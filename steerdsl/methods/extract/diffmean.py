"""`diffmean`: the difference of the class means.

In: the two class means. Out: a direction for each layer, its raw norm kept for `add`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.contrast import difference, negligible
from steerdsl.methods.types import Activations, Directions
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(positive: Activations, negative: Activations) -> Directions:
    """mean(P) - mean(N) for each layer: unit float32 [L, 1, d], raw norm float64 [L, 1].

    A layer where both means agree gives a zero row. Raises MethodError when all do.
    """
    delta = difference(positive, negative)
    unit, norm = normalised(delta, negligible(delta, positive, negative))
    alone = [name for name, a in (("positive", positive), ("negative", negative)) if a.n == 1]
    warnings = [f"the {name} class has one prompt: its mean is that prompt" for name in alone]
    return Directions(unit, norm, figures={"warnings": warnings} if warnings else {})


def normalised(raw: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """Unit rows float32 [L, 1, d] and norms float64 [L, 1] of raw vectors [L, d]; `zero` rows are 0."""
    norm = raw.norm(dim=-1, keepdim=True).masked_fill(zero[:, None], 0.0)
    unit = raw.masked_fill(zero[:, None], 0.0) / norm.where(norm > 0, 1.0)
    return unit[:, None].float(), norm


ENTRY = Entry(
    kind="extract",
    name="diffmean",
    summary="the difference of the class means",
    when=(
        "Use it first: it is cheap, needs only means, and its raw norm gives `add` a natural unit. One direction is "
        "not enough for a concept that takes several; see `top_k` and `iterative`."
    ),
    run=run,
    formula="v = mean(P) - mean(N)",
    paper="Rimsky et al. 2024, section 3; Arditi et al. 2024, section 2.3",
    example="topic = extract diffmean from econ vs generic at last_token",
    aliases=(
        *("caa", "actadd", "act_add", "mean_diff", "meandiff", "mean_difference", "mass_mean", "massmean"),
        *("difference_of_means", "difference_in_means", "dim", "md", "contrastive", "refusal_direction"),
    ),
)
