"""`low_cosine`: the layers whose class means point least alike.

In: the streamed means of both classes. Out: a ranking of the layers.
"""

from __future__ import annotations

from steerdsl.methods.ranking import live, ranked
from steerdsl.methods.types import Candidates, Ranking
from steerdsl.registry import Entry


def run(candidates: Candidates) -> Ranking:
    """The layer with the smallest cosine between the class means, after the notes' third curve alone.

    Raises MethodError when every direction is zero.
    """
    import torch

    means = (candidates.positive.mean.double(), candidates.negative.mean.double())
    cosine = torch.nn.functional.cosine_similarity(*means, dim=-1)
    return ranked(candidates, {"cosine": cosine}, cosine, live(candidates))


ENTRY = Entry(
    kind="select",
    name="low_cosine",
    summary="the layers whose class means have the smallest cosine",
    when=(
        "Use it for the layers where the class means point in the most different directions. It ignores the spread "
        "within each class; `dispersion` includes it."
    ),
    run=run,
    formula="argmin_l cos(μP, μN)",
    paper="notes on refusal ablation and activation-space geometry",
    example="best = select layers of topic by low_cosine keep top 6",
    aliases=("cosine", "cosine_similarity", "min_cosine"),
)
