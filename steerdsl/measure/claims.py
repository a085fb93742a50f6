"""The verdicts of a run's claims.

In: claims with their figures, each at its point of a sweep. Out: for each a verdict, as record.json has it. Claims that
ask for a confidence are one family of tests, so that no verdict is known before all are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from steerdsl.lang import recipe as r
from steerdsl.measure import stats
from steerdsl.measure.answers import NONE
from steerdsl.measure.table import At
from steerdsl.measure.verdict import FAILS, HOLDS, OPEN

COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
NOTHING = stats.Estimate(NONE, 0)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim at one point of a sweep (`at` is empty outside): the means of both sides, their difference with its
    sources of chance, and its p-value. `tests` is the same for claims that test the same difference. `exact`: it reads
    no prompts. `failure`: why there is nothing to compare."""

    step: r.Check
    at: At
    left: float = NONE
    right: float = NONE
    found: stats.Estimate = NOTHING
    p: float = NONE
    tests: Hashable = None
    exact: bool = False
    notes: tuple[str, ...] = ()
    failure: str | None = None


def judged(claims: Collection[Claim], *, alone: bool = False) -> list[dict[str, Any]]:
    """The verdicts of a run's claims, which depend on each other. Those that ask for a confidence are one family of
    tests, every point of a sweep included: each must be settled by its p-value as Holm adjusts it, so that the chance
    that one of all that hold or fail with 95% confidence does so by luck is 5%. Claims that test the same difference
    are one test. `alone`: each for itself."""
    family = {_test(c): c.p for c in claims if c.step.confidence is not None and not math.isnan(c.p)}
    adjusted = family.values() if alone else stats.holm(list(family.values()))
    p_holm = dict(zip(family, adjusted, strict=True))
    return [_verdict(c, NONE if c.step.confidence is None else p_holm.get(_test(c), NONE), len(family)) for c in claims]


def _test(claim: Claim) -> Hashable:
    """What claims that are one test have in common."""
    return claim.tests, tuple(sorted(claim.at.items()))


def _verdict(claim: Claim, p_holm: float, family: int) -> dict[str, Any]:
    """Both sides of a claim at one point, the difference between them with its interval, and the outcome."""
    step, found, p = claim.step, claim.found, claim.p
    level = stats.LEVEL if step.confidence is None else step.confidence
    low, high = found.interval(level)
    counts = p if step.confidence is None else p_holm
    settled = None if math.isnan(counts) else counts <= 1 - level + 1e-12
    holds: bool | None = COMPARE[step.op](claim.left, claim.right)
    tail = (1 - level) / max(1.0, counts / p if p > 0 else 1.0)  # where the p-value counts several times
    why = "" if settled or claim.exact else _unsettled(found, tail, claim.p <= 1 - level, family)
    if claim.failure is not None:
        holds, why, settled = None, claim.failure, None
    elif not (math.isfinite(claim.left) and math.isfinite(claim.right)):
        holds, why = None, "a score that it names has no figure"
    elif step.confidence is not None and not settled:
        holds = None
    by = claim.left - claim.right if math.isnan(found.mean) else found.mean
    figures = {"left": claim.left, "right": claim.right, "by": by, "low": low, "high": high, "p": p, "p_holm": p_holm}
    return {
        "claim": step.text,
        "at": dict(claim.at),
        "outcome": OPEN if holds is None else HOLDS if holds else FAILS,
        "holds": holds,
        **{name: value if math.isfinite(value) else None for name, value in figures.items()},
        "family": None if math.isnan(p_holm) else family,
        "n": found.n,
        "confidence": step.confidence,
        "settled": settled,
        "needs": None if settled else _needed(found, tail),
        "why": why,
        "notes": list(claim.notes),
        "reason": claim.failure,
    }


def _unsettled(found: stats.Estimate, tail: float, alone: bool, family: int) -> str:
    """`15 prompts do not settle it`, and the reason: their spread is not known, the random draws are too far apart, or
    they would settle it were it the only claim."""
    prompts = "1 prompt does" if found.n == 1 else f"{found.n} prompts do"
    because = f": {found.why}" if found.why else ""
    if alone:
        because = f" among {family} claims, as they would alone"
    elif found.drawn and found.reach_of_draws(tail)[_side(found)] >= abs(found.mean):
        because = ", and no number would: the random draws differ by more; take more `draws`"
    return f"{prompts} not settle it{because}"


def _needed(found: stats.Estimate, tail: float) -> float | None:
    """How many prompts would about settle the difference that was found; None where no number would."""
    if not found.parts or found.mean == 0:
        return None
    reach, draws = (each[_side(found)] for each in (found.reach(tail), found.reach_of_draws(tail)))
    left = found.mean**2 - draws**2
    return None if left <= 0 else max(found.n + 1.0, found.n * (reach**2 - draws**2) / left)


def _side(found: stats.Estimate) -> int:
    """Which end of the interval would have to leave 0 out: the lower one of a positive difference."""
    return 0 if found.mean > 0 else 1
