"""How far the next-token distributions have moved from the unsteered model's.

In: the divergence at each token of the unsteered answers (`methods.divergence`). Out: nats a token.
"""

from __future__ import annotations

from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.registry import Entry


def run(answers: Answers) -> Figures:
    """The mean over each answer's tokens, weighted by their number."""
    tokens = list(answers.logprobs["kl"])
    values = [float(t.mean()) if len(t) else NONE for t in tokens]
    return Figures(values, weights=[float(len(t)) for t in tokens], reason="the unsteered answers are empty")


ENTRY = Entry(
    kind="metric",
    name="kl",
    summary="KL divergence of the steered from the unsteered model, nats a token; 0 is unchanged",
    run=run,
    formula="mean over tokens of Σᵥ p(v)·(log p(v) - log q(v)), p unsteered, q steered",
    paper="Arditi et al. 2024, Refusal in Language Models Is Mediated by a Single Direction (KL filter)",
    example="evaluate forgetful on generic.held_out with kl",
    needs=frozenset({"logprobs", "kl"}),
    aliases=("kl_divergence", "kld", "kl_div"),
    least=0,
)
