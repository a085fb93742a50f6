"""Claims: the `check` steps of a plan.

In: a planned check and the scores so far. Out: a verdict in the run's results; a failed check does
not stop the run, so that all of them are reported.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

from steerdsl.engine import class_vectors as class_steps
from steerdsl.engine.context import Run
from steerdsl.lang import recipe as r
from steerdsl.lang.variants import RANDOM, steered
from steerdsl.measure import stats
from steerdsl.measure.answers import NONE, Figures
from steerdsl.measure.claims import Claim, judged
from steerdsl.measure.hypotheses import tested
from steerdsl.measure.table import At, Row, Table
from steerdsl.measure.verdict import OPEN, said
from steerdsl.methods import algebra, class_vectors
from steerdsl.methods import layers as by_layer
from steerdsl.planning.layers import layer_number
from steerdsl.planning.plan import PlanStep

COSINE, CORRELATION = "cosine()", "correlation()"
EXACT = (COSINE, CORRELATION)  # figures of vectors alone


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
        if evaluation in named and named <= run.results.scores.evaluations.keys():
            for verdict in judged(list(at_points(run, step)), alone=True):
                if verdict["outcome"] == OPEN:
                    run.tell(f"`{step.text}` is {OPEN}: {said(verdict)}")


def at_points(run: Run, step: r.Check) -> Iterator[Claim]:
    """The claim at each point of the sweeps that it reads: at each pair of points where it reads two sweeps, which
    agree in the axes that they share. Inside a sweep it is made at the point where the run is."""
    places = [dict(run.point)]
    for term in (*step.left.terms, *step.right.terms):
        rows = run.results.scores.evaluations.get(term.path[0], Table())
        if rows.swept:
            points = [own[0].at for own in rows.points.values()]
            places = [{**at, **other} for at in places for other in points if agree(at, other)]
    tests = tested(step, {e.name: [ref.label for ref in e.data] for e in _evaluations(run.plan.steps)})
    if not places:
        yield Claim(step, {}, failure="the sweeps that it reads have no point in common")
    for at in places:
        failure = next((entry["reason"] for entry in run.results.failed if entry["at"].items() <= at.items()), None)
        if failure is not None:
            yield Claim(step, at, failure=failure)
            continue
        reading = ClaimScores(run, step, at)
        sides, found = (reading.figure(step.left), reading.figure(step.right)), reading.difference()
        yield Claim(step, at, *sides, found, found.p(), tests, reading.exact, tuple(reading.notes()))


def agree(at: At, other: At) -> bool:
    """Whether two points have the same value on every axis that both have."""
    return all(other.get(axis, label) == label for axis, label in at.items())


def _correlation(run: Run, term: r.Term) -> float:
    """Pearson's correlation of the classes' coordinates along one layer's direction with the numbers of a claim, which
    are those of the classes (the plan has made sure)."""
    _, name, vector, layer, *given = term.path
    numbers = {given[i]: float(given[i + 1]) for i in range(0, len(given), 2)}
    own = class_steps.members(run, name)
    spec = r.LayerPoint(float(layer[:-1]) / 100, True) if layer.endswith("%") else r.LayerPoint(float(layer))
    at = layer_number(spec, run.plan.model.arch.n_layers)
    axis = by_layer.axis(run.values.vectors[vector], at)
    first = next(iter(own.values()))
    raw = class_steps.raw(own)[:, by_layer.row(first, at)]
    return class_vectors.correlation(raw, axis, [numbers[label] for label in own])


class ClaimScores:
    """The scores of a run at one point of a sweep, as a claim reads them. `exact`: it reads no prompts."""

    def __init__(self, run: Run, step: r.Check, at: At) -> None:
        self.run, self.step, self.at = run, step, at
        self.terms = (*step.left.terms, *step.right.terms)
        self.exact = all(term.path[0] in EXACT for term in self.terms)

    def figure(self, side: r.Figure) -> float:
        """The number that one side of a claim stands for; nan where a score has no figure."""
        return side.value + sum(term.share * self._mean(term) for term in side.terms)

    def difference(self) -> stats.Estimate:
        """Left minus right with all its sources of chance. What is scored on the same prompts is paired."""
        step = self.step
        terms = [(1.0, term) for term in step.left.terms] + [(-1.0, term) for term in step.right.terms]
        fixed = step.left.value - step.right.value
        groups: dict[tuple[str, int, Hashable], list[tuple[float, Sequence[Figures]]]] = {}
        for sign, term in terms:
            if term.path[0] in EXACT:
                fixed += sign * self.figure(r.Figure((term,)))
                continue
            places = self._places(term)
            for row in places:
                group = groups.setdefault(self._prompts(term, row), [])
                group.append((sign * term.share / len(places), row.figures()))
        if not groups:
            return stats.Estimate(fixed if self.exact else NONE, 0)
        made = {key: stats.estimate(group) for key, group in groups.items()}
        found = stats.total(list(made.values()))
        if found.why and len(made) > 1:
            data, unknown = next((key[0], each) for key, each in made.items() if not each.parts)
            found = replace(found, why=f"on {data}, {unknown.why}")
        if any(term.variant == RANDOM and len(row.known_draws) <= 1 for term in self.terms for row in self._rows(term)):
            found = stats.Estimate(found.mean, found.n, why=stats.ONE_DRAW)
        return found.plus(fixed)

    def notes(self) -> Iterator[str]:
        """What a reader should know of the two sides."""
        for term in self.terms:
            if term.path[0] in EXACT:
                if math.isnan(self._mean(term)):
                    yield "it has no figure: the coordinates of the classes, or the numbers, are all alike"
                continue
            score = ".".join(term.path)
            if abs(term.share) not in (0, 1) and self._mean(term) == 0:
                whose = term.variant or score
                yield f"a share of 0 is 0: {whose} is 0, so this share of it requires nothing"
            without = [row.data for row in self._rows(term) if row.mean is None]
            if without and len(term.path) < 3:
                yield f"{score} is the mean without {', '.join(without)}, which has no figure"

    def _mean(self, term: r.Term) -> float:
        """A score: of one data set, or the mean over all of them that have a figure."""
        if term.path[0] == CORRELATION:
            return _correlation(self.run, term)
        if term.path[0] == COSINE:
            u, v = (self.run.values.vectors[name] for name in term.path[1:3])
            return float(algebra.cosine(u, v).min())
        known = [row.mean for row in self._places(term) if row.mean is not None]
        return sum(known) / len(known) if known else NONE

    def _places(self, term: r.Term) -> list[Row]:
        """A term's rows on the data sets where everything that the claim reads at its path has a figure."""
        lacking = {row.data for o in self.terms if o.path == term.path for row in self._rows(o) if row.mean is None}
        beside = [{row.data for row in self._rows(o)} for o in self.terms if o.path == term.path]
        return [row for row in self._rows(term) if row.data not in lacking and all(row.data in own for own in beside)]

    def _rows(self, term: r.Term) -> Iterator[Row]:
        """The row of the variant that a term means, data set by data set; none for a figure of vectors alone."""
        if term.path[0] in EXACT:
            return
        rows = self.run.results.scores.evaluations[term.path[0]]
        if rows.swept:
            rows = next(own for own in rows.points.values() if agree(self.at, own[0].at))
        rows = rows.select(metric=term.path[1])
        for data, by_variant in rows.pivot("data", "variant").items():
            variant = term.variant or steered(by_variant)
            if data in (term.path[2:] or [data]) and variant in by_variant:
                yield by_variant[variant]

    def _prompts(self, term: r.Term, row: Row) -> tuple[str, int, Hashable]:
        """What tells whether two scores are of the same prompts: the part of a data set; else the evaluation."""
        step = next((s for s in _evaluations(self.run.plan.steps) if s.name == term.path[0]), None)
        ref = None if step is None else next((ref for ref in step.data if ref.label == row.data), None)
        same: Hashable = (term.path[0], term.path[1]) if ref is None else (ref.split, ref.side)
        if isinstance(step, r.Read):  # the means of two classes are of different prompts
            same = (same, term.path[1])
        return (row.data, len(row.values), same)


def _evaluations(steps: Sequence[PlanStep]) -> Iterator[r.Evaluate | r.Read]:
    """All evaluations and readings, those of a sweep's first point included."""
    for planned in steps:
        if isinstance(planned.step, r.Evaluate | r.Read):
            yield planned.step
        yield from _evaluations(planned.points[0] if planned.points else ())
