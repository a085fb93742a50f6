"""Agreement of two judges: Cohen's weighted kappa.

In: the marks of two judges of the same answers, nan where one gave none. Out: kappa, over answers that both marked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 2  # answers that both must have marked


@dataclass(frozen=True, slots=True)
class Agreement:
    """Weighted kappa over the `n` answers that both judges marked; None where it is not defined."""

    kappa: float | None
    n: int


def weighted_kappa(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """κ = 1 - Σ w·O / Σ w·E with quadratic weights w = (i - j)², O the pairs of marks that occur and E those that would
    if the judges marked independently. Marks are rounded to whole numbers, halves to even ones.

    None where both judges give one and the same mark throughout, and for fewer than two answers. Source: Cohen 1968,
    Weighted kappa.
    """
    both = [(round(a), round(b)) for a, b in zip(first, second, strict=True) if not math.isnan(a + b)]
    n = len(both)
    seen = math.fsum((a - b) ** 2 for a, b in both)
    # The mean over all n² pairs of a first and a second mark, by its moments.
    squares = math.fsum(a * a + b * b for a, b in both)
    chance = squares - 2 * sum(a for a, _ in both) * sum(b for _, b in both) / n if n else 0.0
    return Agreement(1 - seen / chance if n >= LEAST and chance > 0 else None, n)
