"""How much an addition adds, in every unit: multiples of the raw vector, shares of a token's norm, sd and dose.

In: the training activations that a direction was made from, and the norms of the training tokens where it is added.
Out: the lengths that strengths are measured in (`Scale`), and one strength in all units (`Dose`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steerdsl.lang.recipe import Strength

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scale:
    """The lengths at one place. `raw`: of the raw vector. `sd`: the standard deviation of the training projections.
    `norm`, `inverse`: the means over the training tokens of the stream's norm and of 1 / norm. What is not known is
    None, and `why` says why."""

    raw: float
    sd: float | None = None
    norm: float | None = None
    inverse: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Dose:
    """One strength in all units, None where a unit has no length there. `share`: of a token's norm, on average over
    the training tokens."""

    raw: float | None
    share: float | None
    sd: float | None
    dose: float | None


def pooled_sd(classes: Sequence[Tensor], unit: Tensor) -> float | None:
    """The standard deviation of the projections of some classes, each [n, d], on a unit direction [d], about the mean
    of each class, float64; None where no class has two samples.

    Within the classes, since the spread over both would hold their difference too: it would grow with the effect
    that it is to measure. The raw vector of `diffmean` is Cohen's d of these (Cohen 1988, section 2.5.1).
    """
    spread, free = 0.0, 0
    for rows in classes:
        along = rows.double() @ unit.double()
        spread += float((along - along.mean()).square().sum())
        free += len(rows) - 1
    return math.sqrt(spread / free) if free > 0 else None


def in_all_units(strength: Strength, scale: Scale) -> Dose:
    """What a strength is in every unit. A share of each token's norm is on average a dose of the same size."""
    unit, value = strength.unit, strength.value
    length = {"raw": scale.raw, "sd": scale.sd, "dose": scale.norm, "share": scale.norm}[unit]
    added = None if length is None else value * length
    share = value if unit == "share" else _times(added, scale.inverse)
    dose = value if unit in ("share", "dose") else _over(added, scale.norm)
    return Dose(
        raw=value if unit == "raw" else _over(added, scale.raw),
        share=share,
        sd=value if unit == "sd" else _over(added, scale.sd),
        dose=dose,
    )


def in_columns(doses: Sequence[Dose]) -> dict[str, list[float | None]]:
    """The figures of several strengths by unit."""
    return {unit: [getattr(dose, unit) for dose in doses] for unit in ("raw", "share", "sd", "dose")}


def _over(added: float | None, length: float | None) -> float | None:
    return added / length if added is not None and length else None


def _times(added: float | None, inverse: float | None) -> float | None:
    """The length as a share, without its sign lost."""
    return added * inverse if added is not None and inverse is not None and math.isfinite(inverse) else None
