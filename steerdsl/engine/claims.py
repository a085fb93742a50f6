"""Claims: the `check` steps of a plan.

In: a planned check and the scores so far. Out: a verdict in the run's results; a failed check does
not stop the run, so that all of them are reported.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerdsl.engine.context import Run
from steerdsl.lang import recipe as r
from steerdsl.lang.variants import RANDOM, steered
from steerdsl.measure import stats
from steerdsl.measure.answers import NONE, Figures
from steerdsl.measure.scores import figures_of
from steerdsl.measure.verdict import FAILS, HOLDS, OPEN, said
from steerdsl.methods import algebra
from steerdsl.plan import words
from steerdsl.plan.plan import PlanStep

COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
COSINE = "cosine()"
NOTHING = stats.Estimate(NONE, 0)

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim at one point of a sweep (`at` is empty outside): the means of both sides, their difference with its
    sources of chance, and its p-value. `exact`: it reads no prompts. `failure`: why there is nothing to compare."""

    step: r.Check
    at: Mapping[str, str]
    left: float = NONE
    right: float = NONE
    found: stats.Estimate = NOTHING
    p: float = NONE
    exact: bool = False
    notes: tuple[str, ...] = ()
    failure: str | None = None


def check(run: Run, planned: PlanStep) -> None:
    """Compare both sides of a claim, at each point of a sweep, and keep them with the figures behind them."""
    step = planned.step
    assert isinstance(step, r.Check)
    for claim in at_points(run, step):
        keep(run, claim)
        run.results.warnings += [f"`{step.text}`: {note}" for note in claim.notes]


def keep(run: Run, claim: Claim) -> None:
    """Add a claim to those of the run; one that is written twice is one claim."""
    run.results.claims.setdefault((claim.step.text, tuple(sorted(claim.at.items()))), claim)


def tell_early(run: Run, evaluation: str) -> None:
    """Once an evaluation is there, say which claims with a confidence its prompts do not settle, so that nobody
    waits for the end of the run to learn that they are too few."""
    for planned in run.plan.steps:
        step = planned.step
        if not isinstance(step, r.Check) or step.confidence is None:
            continue
        named = {term.path[0] for term in (*step.left.terms, *step.right.terms)}
        if evaluation in named and named <= run.results.scores.keys():
            for verdict in judged(list(at_points(run, step)), alone=True):
                if verdict["outcome"] == OPEN:
                    run.tell(f"`{step.text}` is {OPEN}: {said(verdict)}")


def at_points(run: Run, step: r.Check) -> Iterator[Claim]:
    """The claim at each point of the sweeps that it reads: at each pair of points where it reads two sweeps, which
    agree in the axes that they share. Inside a sweep it is made at the point where the run is."""
    places = [dict(run.point)]
    for term in (*step.left.terms, *step.right.terms):
        points = run.results.scores.get(term.path[0], {}).get("points")
        if points is not None:
            places = [{**at, **p["at"]} for at in places for p in points if agree(at, p["at"])]
    if not places:
        yield Claim(step, {}, failure="the sweeps that it reads have no point in common")
    for at in places:
        failure = next((entry["reason"] for entry in run.results.failed if entry["at"].items() <= at.items()), None)
        if failure is not None:
            yield Claim(step, at, failure=failure)
            continue
        reading = Reading(run, step, at)
        sides, found = (reading.figure(step.left), reading.figure(step.right)), reading.difference()
        yield Claim(step, at, *sides, found, found.p(), reading.exact, tuple(reading.notes()))


def agree(at: Mapping[str, str], point: Mapping[str, str]) -> bool:
    """Whether two points have the same value on every axis that both have."""
    return all(point.get(axis, label) == label for axis, label in at.items())


def judged(claims: Collection[Claim], *, alone: bool = False) -> list[dict[str, Any]]:
    """The verdicts of a run's claims, which depend on each other. Those that ask for a confidence are one family of
    tests, every point of a sweep included: each must be settled by its p-value as Holm adjusts it, so that the chance
    that one of all that hold or fail with 95% confidence does so by luck is 5%. `alone`: each for itself."""
    family = [c for c in claims if c.step.confidence is not None and not math.isnan(c.p)]
    adjusted = [c.p for c in family] if alone else stats.holm([c.p for c in family])
    by_id = {id(claim): p for claim, p in zip(family, adjusted, strict=True)}
    return [_verdict(claim, by_id.get(id(claim), NONE), len(family)) for claim in claims]


def _verdict(claim: Claim, p_holm: float, family: int) -> dict[str, Any]:
    """Both sides of a claim at one point, the difference between them with its interval, and the outcome."""
    step, found, p = claim.step, claim.found, claim.p
    level = stats.LEVEL if step.confidence is None else step.confidence
    low, high = found.interval(level)
    counts = p if step.confidence is None else p_holm
    settled = None if math.isnan(counts) else counts <= 1 - level + 1e-12
    holds: bool | None = COMPARE[step.op](claim.left, claim.right)
    why = "" if settled or claim.exact else _unsettled(found, claim.p <= 1 - level, family)
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
        "needs": None if settled else _needed(found, level, counts / p if p > 0 else 1.0),
        "why": why,
        "notes": list(claim.notes),
        "reason": claim.failure,
    }


def _unsettled(found: stats.Estimate, alone: bool, family: int) -> str:
    """`15 prompts do not settle it`, and the reason: their spread is not known, or they would settle it were it
    the only claim."""
    does = "does" if found.n == 1 else "do"
    because = f" among {family} claims, as they would alone" if alone else f": {found.why}" if found.why else ""
    return f"{words.count(found.n, 'prompt')} {does} not settle it{because}"


def _needed(found: stats.Estimate, level: float, factor: float) -> float | None:
    """How many prompts would about settle the difference that was found, where its p-value counts `factor` times."""
    if not found.parts or found.mean == 0:
        return None
    reach = found.reach((1 - level) / max(1.0, factor))[0 if found.mean > 0 else 1]
    return max(found.n + 1.0, found.n * (reach / found.mean) ** 2)


class Reading:
    """The scores of a run at one point of a sweep, as a claim reads them. `exact`: it reads no prompts."""

    def __init__(self, run: Run, step: r.Check, at: Mapping[str, str]) -> None:
        self.run, self.step, self.at = run, step, at
        self.terms = (*step.left.terms, *step.right.terms)
        self.exact = all(term.path[0] == COSINE for term in self.terms)

    def figure(self, side: r.Figure) -> float:
        """The number that one side of a claim stands for; nan where a score has no figure."""
        return side.value + sum(term.share * self._mean(term) for term in side.terms)

    def difference(self) -> stats.Estimate:
        """Left minus right with all its sources of chance. What is scored on the same prompts is paired."""
        step = self.step
        terms = [(1.0, term) for term in step.left.terms] + [(-1.0, term) for term in step.right.terms]
        fixed = step.left.value - step.right.value
        groups: dict[Hashable, list[tuple[float, Sequence[Figures]]]] = {}
        for sign, term in terms:
            if term.path[0] == COSINE:
                fixed += sign * self.figure(r.Figure((term,)))
                continue
            places = self._places(term)
            for data, line in places:
                group = groups.setdefault(self._prompts(term, data, line), [])
                group.append((sign * term.share / len(places), figures_of(line)))
        if not groups:
            return stats.Estimate(fixed if self.exact else NONE, 0)
        found = stats.total([stats.estimate(group) for group in groups.values()])
        if any(
            t.variant == RANDOM and len(line.get("draws", ())) == 1 for t in self.terms for _, line in self._lines(t)
        ):
            return stats.Estimate(found.mean + fixed, found.n, why=stats.ONE_DRAW)
        return stats.Estimate(found.mean + fixed, found.n, found.parts, found.why, found.equal)

    def notes(self) -> Iterator[str]:
        """What a reader should know of the two sides."""
        for term in self.terms:
            if term.path[0] == COSINE:
                continue
            score = ".".join(term.path)
            if abs(term.share) not in (0, 1) and self._mean(term) == 0:
                whose = term.variant or score
                yield f"a share of 0 is 0: {whose} is 0, so this share of it asks for nothing"
            without = [data for data, line in self._lines(term) if line["mean"] is None]
            if without and len(term.path) < 3:
                yield f"{score} is the mean without {', '.join(without)}, which has no figure"

    def _mean(self, term: r.Term) -> float:
        """A score: of one data set, or the mean over all of them that have a figure."""
        if term.path[0] == COSINE:
            u, v = (self.run.values.vectors[name] for name in term.path[1:3])
            return float(algebra.cosine(u, v).min())
        known = [float(line["mean"]) for _, line in self._places(term)]
        return sum(known) / len(known) if known else NONE

    def _places(self, term: r.Term) -> list[tuple[str, Table]]:
        """The data sets of a term where everything that the claim reads at its path has a figure."""
        beside = [dict(self._lines(other)) for other in self.terms if other.path == term.path]
        return [(d, line) for d, line in self._lines(term) if all(_known(by_data, d) for by_data in beside)]

    def _lines(self, term: r.Term) -> Iterator[tuple[str, Table]]:
        """data set -> figures of the variant that a term means; none for a cosine."""
        if term.path[0] == COSINE:
            return
        entry = self.run.results.scores[term.path[0]]
        table = (
            entry if "points" not in entry else next(p["scores"] for p in entry["points"] if agree(self.at, p["at"]))
        )
        by_data = table[term.path[1]]
        for data in [term.path[2]] if len(term.path) > 2 else list(by_data):
            variant = term.variant or steered(by_data[data])
            if variant in by_data[data]:
                yield data, by_data[data][variant]

    def _prompts(self, term: r.Term, data: str, line: Table) -> Hashable:
        """What tells whether two scores are of the same prompts: the part of a data set; else the evaluation."""
        step = next((s for s in _evaluations(self.run.plan.steps) if s.name == term.path[0]), None)
        ref = None if step is None else next((ref for ref in step.data if ref.name == data), None)
        same = (term.path[0], term.path[1]) if ref is None else (ref.split, ref.side)
        return (data, len(line["values"]), same)


def _known(by_data: Mapping[str, Table], data: str) -> bool:
    return data in by_data and by_data[data]["mean"] is not None


def _evaluations(steps: Sequence[PlanStep]) -> Iterator[r.Evaluate]:
    """All evaluations, those of a sweep's first point included."""
    for planned in steps:
        if isinstance(planned.step, r.Evaluate):
            yield planned.step
        yield from _evaluations(planned.points[0] if planned.points else ())
