"""How far the next-token distributions have moved from the unsteered model's.

In: log-probabilities of both models along the unsteered answers. Out: nats a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray


def kl_tokens(base: Any, steered: Any) -> NDArray[Any]:
    """KL(base ‖ steered) in nats at each position, float64 [T], from log-probabilities or logits [T, V].

    Both are normalised in float64: adding an epsilon inside the logarithm would bias it at large
    vocabularies.
    """
    import numpy as np

    p, q = _log_softmax(base), _log_softmax(steered)
    # A token that the base never gives adds nothing, whatever the other says of it.
    some = np.isfinite(p)
    gap = np.subtract(p, q, where=some, out=np.zeros_like(p))
    return np.asarray((np.exp(p) * gap).sum(-1))


def _log_softmax(scores: Any) -> NDArray[Any]:
    import numpy as np

    x = np.asarray(scores, dtype=np.float64)
    x = x - x.max(-1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(-1, keepdims=True)))


def run(answers: Answers) -> Figures:
    """The mean over each answer's tokens, weighted by their number."""
    pairs = zip(answers.logprobs["next_base"], answers.logprobs["next"], strict=True)
    tokens = [kl_tokens(base, steered) for base, steered in pairs]
    values = [float(t.mean()) if len(t) else NONE for t in tokens]
    return Figures(values, weights=[float(len(t)) for t in tokens])


ENTRY = Entry(
    kind="metric",
    name="kl",
    summary="KL divergence of the steered from the unsteered model, nats a token; 0 is unchanged",
    run=run,
    formula="mean over tokens of Σᵥ p(v)·(log p(v) - log q(v)), p unsteered, q steered",
    paper="Arditi et al. 2024, Refusal in Language Models Is Mediated by a Single Direction (KL filter)",
    example="evaluate forgetful on generic.held_out with kl",
    needs=frozenset({"logprobs", "next", "next_base"}),
)
