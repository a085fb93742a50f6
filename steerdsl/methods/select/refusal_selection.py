"""`refusal_selection`: Arditi's choice by what a direction does to refusals.

In: the model, through a `ModelProbe`. Out: a ranking by how well removing the direction makes the
model answer, among directions that also induce refusal and otherwise change little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steerdsl.methods.divergence import kl
from steerdsl.methods.ranking import deep, live, ranked
from steerdsl.methods.types import Candidates, MethodError, Ranking, Trial
from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(
    candidates: Candidates, tokens: str = "I", max_kl: float = 0.1, min_induce: float = 0.0, deepest: float = 0.2
) -> Ranking:
    """The smallest bypass among layers with kl <= max_kl, induce >= min_induce, not in the deepest share.

    `tokens` are the beginnings of refusals, separated by commas. The positive class is what the
    model refuses, the negative class what it answers. bypass: mean refusal score of the former with
    the layer's direction ablated everywhere. induce: of the latter with the raw vector added at its
    layer. kl: mean KL(unsteered ‖ ablated) of the latter's next token.
    Raises MethodError, with the best candidate of each filter, when no layer passes.
    """
    import torch

    probe = candidates.probe
    assert probe is not None, "the criterion's entry declares needs={'model'}"
    found = live(candidates)
    refusals = list(dict.fromkeys(probe.first_tokens([t.strip() for t in tokens.split(",")])))
    units, norms = candidates.directions.unit[found], candidates.directions.raw_norm[found].float()
    ablations = [Trial(ablate=unit) for unit in units]
    raw = (norm @ unit for norm, unit in zip(norms, units, strict=True))
    additions = [Trial(add=pair) for pair in zip(candidates.layers[found].tolist(), raw, strict=True)]

    def score(plain: Tensor, tried: Tensor) -> Tensor:
        return refusal_score(tried, refusals)

    figures = {name: torch.full(found.shape, torch.nan, dtype=torch.float64) for name in ("bypass", "induce", "kl")}
    figures["bypass"][found] = probe.figures("positive", ablations, score).mean(-1)
    figures["induce"][found] = probe.figures("negative", additions, score).mean(-1)
    figures["kl"][found] = probe.figures("negative", ablations, kl).mean(-1)
    kept = passing(figures, candidates.layers, candidates.n_layers, max_kl, min_induce, deepest)
    if not bool(kept.any()):
        wanted = f"kl at most {max_kl:g}, induce at least {min_induce:g}, not in the last {deepest:.0%} of the layers"
        raise MethodError(
            f"no layer passes refusal_selection ({wanted}): {_best(candidates.layers, figures)}",
            "loosen the filter that fails, or choose another criterion",
        )
    return ranked(candidates, figures, figures["bypass"], kept)


def passing(
    figures: Mapping[str, Tensor], layers: Tensor, n_layers: int, max_kl: float, min_induce: float, deepest: float
) -> Tensor:
    """Which candidates [L] pass every filter, bool [L]; a candidate with a figure that is nan does not."""
    calm, inducing = figures["kl"] <= max_kl, figures["induce"] >= min_induce
    return calm & inducing & ~deep(layers, n_layers, deepest) & ~figures["bypass"].isnan()


def refusal_score(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """log p_R - log(1 - p_R) of each row of logits [n, vocab], float64 [n], without taking 1 - p_R."""
    import torch

    refuses = torch.zeros(logits.shape[-1], dtype=torch.bool)
    refuses[list(tokens)] = True
    z = logits.double()
    return z[:, refuses].logsumexp(-1) - z[:, ~refuses].logsumexp(-1)


def _best(layers: Tensor, figures: Mapping[str, Tensor]) -> str:
    """The best layer by each figure, with all of its figures."""
    lines = []
    for name, sign in (("bypass", 1), ("induce", -1), ("kl", 1)):
        i = int((sign * figures[name]).nan_to_num(nan=float("inf")).argmin())
        values = ", ".join(f"{other} {float(figures[other][i]):.3g}" for other in figures)
        lines.append(f"best {name} at layer {int(layers[i])} ({values})")
    return "; ".join(lines)


ENTRY = Entry(
    kind="select",
    name="refusal_selection",
    summary="the direction whose ablation stops most refusals, that induces them when added, and changes little else",
    when=(
        "Use it for refusal directions, with refused prompts as the positive class. Not for other concepts; it is "
        "slow, since it runs the model three times per layer."
    ),
    run=run,
    args=(
        Arg("tokens", "text", "I", "how refusals begin, separated by commas"),
        Arg("max_kl", "number", 0.1, "highest allowed KL on the answered prompts, in nats", least=0),
        Arg("min_induce", "number", 0.0, "lowest allowed refusal score of the answered prompts with the vector added"),
        Arg("deepest", "share", 0.2, "the share of last layers to leave out", least=0, below=1),
    ),
    formula="argmin bypass with kl <= .1, induce >= 0, l < int(.8 L); score = log p_R - log(1 - p_R)",
    paper="Arditi et al. 2024, section 2.3 and appendix C",
    example="best = select layers of refusal by refusal_selection",
    needs=frozenset({"model"}),
    aliases=("arditi", "refusal", "bypass"),
)
