"""How far one distribution is from another.

In: two logits of the same tokens. Out: nats. It uses torch alone, so that it may run where logits are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def kl(base: Tensor, other: Tensor) -> Tensor:
    """KL(base ‖ other) in nats of each row of two logits, or log-probabilities, [n, vocab]: float64 [n].

    Both are normalised in float64: adding a small number within the logarithm biases it at large
    vocabularies.
    """
    p, q = base.double().log_softmax(-1), other.double().log_softmax(-1)
    # A token that the base never gives adds nothing.
    gap = (p - q).where(p.isfinite(), 0)
    return (p.exp() * gap).sum(-1)
