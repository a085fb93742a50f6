"""`dispersion_raw`: the notes' three curves in their literal order of importance.

In: the streamed means and variances of both classes. Out: a ranking of the layers.
"""

from __future__ import annotations

from steerdsl.methods.ranking import curves, ranked
from steerdsl.methods.types import Candidates, Ranking
from steerdsl.registry import Entry


def run(candidates: Candidates) -> Ranking:
    """The notes' literal order: low mean variance first, then low max variance, then low cosine.

    Each is the larger of both classes, not rescaled, and no layer is dropped; the score is the
    place in that order. Raises MethodError with one sample in a class.
    """
    import torch

    figures = curves(candidates)
    keys = [
        torch.maximum(figures[f"{what}_variance_positive"], figures[f"{what}_variance_negative"])
        for what in ("mean", "max")
    ]
    rows = list(zip(*(k.tolist() for k in (*keys, figures["cosine"])), strict=True))
    places = sorted(range(len(rows)), key=lambda i: rows[i])
    score = torch.empty(len(rows), dtype=torch.float64)
    score[places] = torch.arange(len(rows), dtype=torch.float64)
    return ranked(candidates, figures, score, torch.ones(len(rows), dtype=torch.bool))


ENTRY = Entry(
    kind="select",
    name="dispersion_raw",
    summary="the notes' literal order: low mean variance, then low max variance, then low cosine",
    when=(
        "Use it only to reproduce the notes. Not to choose a layer: raw variance grows with depth, so it picks one of "
        "the first layers."
    ),
    run=run,
    formula="lexicographic (mean_f Var, max_f Var, cos(μP, μN)), the larger of both classes",
    paper="notes on refusal ablation and activation-space geometry",
    example="best = select layers of topic by dispersion_raw",
)
