"""`dispersion`: the layer where each class is tight for its size and the two lie apart.

In: the streamed means and variances of both classes. Out: a ranking of the layers.
"""

from __future__ import annotations

from steerdsl.methods.ranking import curves, deep, ranked
from steerdsl.methods.ranks import midranks
from steerdsl.methods.types import Candidates, MethodError, Ranking
from steerdsl.registry import Arg, Entry

SEPARATED = 1e-3  # least ‖mean(P) - mean(N)‖, as a share of the larger class mean's norm
NEAR = 0.25  # and as a share of the largest such share among the layers that may be chosen


def run(candidates: Candidates, deepest: float = 0.2) -> Ranking:
    """(3·rank m̃ + 2·rank x̃ + rank cos)/6 over the layers that are left; the smallest wins, ties by cos.

    m̃ and x̃ are the mean and the largest per-feature variance, over the mean square of the class
    mean's features, the larger of both classes; so the size of a layer's activations does not
    count. Dropped: layer 0, the last `deepest` share of the model, layers where the means agree, and
    layers where they lie less than a quarter as far apart, for their size, as at the best layer: at
    `last_token` the first layers are tight because every prompt ends in the same template, and they
    say nothing of the classes. Our own reading of the notes, whose literal order (`dispersion_raw`)
    picks a useless layer.
    Raises MethodError with one sample in a class, or when the means agree everywhere.
    """
    import torch

    figures = curves(candidates)
    norms = torch.stack([a.mean.double().norm(dim=-1) for a in (candidates.positive, candidates.negative)])
    power = norms.square() / candidates.positive.mean.shape[-1]
    relative = {
        what: (torch.stack([figures[f"{what}_variance_{c}"] for c in ("positive", "negative")]) / power)
        .nan_to_num(nan=torch.inf)
        .amax(0)
        for what in ("mean", "max")
    }
    figures |= {"relative_mean_variance": relative["mean"], "relative_max_variance": relative["max"]}
    size = norms.amax(0)
    separation = figures["difference"] / size.where(size > 0, 1.0)
    apart = (separation >= SEPARATED) & (figures["difference"] > 0)
    if not bool(apart.any()):
        raise MethodError("the class means agree at every layer, so there is none to choose", "compare other data sets")
    placed = (candidates.layers > 0) & ~deep(candidates.layers, candidates.n_layers, deepest)
    notes: tuple[str, ...] = ()
    if not bool((apart & placed).any()):
        placed = torch.ones_like(placed)
        notes = ("dispersion would drop every layer, so none is dropped",)
    kept = apart & placed
    kept &= separation >= NEAR * separation[kept].max()
    score = torch.full(kept.shape, torch.nan, dtype=torch.float64)
    terms = (relative["mean"], relative["max"], figures["cosine"])
    score[kept] = sum(w * midranks(t[kept]) for w, t in zip((3, 2, 1), terms, strict=True)) / 6
    return ranked(candidates, figures, score, kept, ties=figures["cosine"], notes=notes)


ENTRY = Entry(
    kind="select",
    name="dispersion",
    summary="where each class is compact for its size and the two are far apart (default)",
    when=(
        "Use it as the default: it needs training statistics only and does not run the model. It does not measure what "
        "steering does; for refusal see `refusal_selection`, otherwise sweep layers on the training prompts."
    ),
    run=run,
    args=(Arg("deepest", "share", 0.2, "the share of last layers to leave out", least=0, below=1),),
    formula="(3·rank m̃ + 2·rank x̃ + rank cos(μP, μN))/6; m̃, x̃ = max over classes of mean, max Var/(‖μ‖²/d)",
    paper="after the notes on refusal ablation and activation-space geometry, with our own rescaling and filter",
    example="best = select layers of topic by dispersion keep top 3",
    aliases=("variance", "mean_variance"),
)
