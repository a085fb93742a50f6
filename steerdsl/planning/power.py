"""What the prompts of a claim can settle, said before they are asked.

In: a `check` and what the planning knows. Out: lines of the plan. For a rate the number of prompts is enough; for
any other metric the paired spread is, which the store knows once the evaluation has been made. The claims of a
recipe that ask for a confidence are one family of tests: what is said here holds for every outcome of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

from steerdsl.forms.runs import TABLE
from steerdsl.forms.text import read_json
from steerdsl.lang import recipe as r
from steerdsl.lang.variants import RANDOM, steered
from steerdsl.measure import rates, stats
from steerdsl.measure.hypotheses import tested
from steerdsl.measure.table import Table, of_nested
from steerdsl.planning import controls, formatting
from steerdsl.planning.planning import Planning
from steerdsl.planning.samples import samples
from steerdsl.registry import metric_of

TOO_FEW = "too few"  # labels a line of the plan that says why a claim cannot be settled


def lines(p: Planning, s: r.Check) -> Iterator[tuple[str, str]]:
    """What is known of each score that a claim with a confidence names, a line for each data set."""
    if s.confidence is None:
        yield "decided by", "the means; `with confidence: 95%` asks that the prompts settle it"
        return
    claims = p.tests = family(p.recipe) if p.tests is None else p.tests
    more = f"; adjusted by Holm's method over the {claims} claims with a confidence" if claims > 1 else ""
    what = f"{formatting.percent(s.confidence)}, of the paired difference over prompts and random draws{more}"
    yield "confidence", what
    level = 1 - (1 - s.confidence) / claims
    terms = (*s.left.terms, *s.right.terms)
    for path in dict.fromkeys(term.path for term in terms):
        variant = next((t.variant for t in terms if t.path == path and t.variant is not None), None)
        for step in _on_each_data(p, path[0]):
            yield from _of_score(p, step, path, variant, level)


def _on_each_data(p: Planning, name: str) -> Iterator[r.Evaluate]:
    """The evaluation of that name; of a sweep whose data sets differ one of its points for each of them."""
    last = p.named.get(name)
    if not isinstance(last, r.Evaluate):
        return
    every = (step for sweep in _sweeps(p.recipe) for point in sweep.points for step in point.steps)
    others = {step.data: step for step in every if isinstance(step, r.Evaluate) and step.name == name}
    yield from {**others, last.data: last}.values()


def family(recipe: r.Recipe) -> int:
    """How many tests the claims with a confidence are, every point of a sweep counted. Claims that test the same
    difference are one test."""
    steps = [*recipe.steps, *(step for sweep in _sweeps(recipe) for step in sweep.points[0].steps)]
    data = {step.name: [ref.label for ref in step.data] for step in steps if isinstance(step, r.Evaluate)}
    found = {tested(s, data): places(recipe, s) for s in recipe.steps if _asks(s)}
    for sweep in _sweeps(recipe):
        for s in filter(_asks, sweep.points[0].steps):
            at = len(sweep.points) * places(recipe, s, sweep)
            found[tested(s, data)] = max(at, found.get(tested(s, data), 0))
    return sum(found.values())


def _asks(step: r.Step) -> TypeGuard[r.Check]:
    return isinstance(step, r.Check) and step.confidence is not None


def places(recipe: r.Recipe, s: r.Check, inside: r.Sweep | None = None) -> int:
    """At how many points a claim is made: at each, and of two sweeps at each pair. A claim in the body of a sweep
    (`inside`) is made at one of its points."""
    read = {term.path[0] for term in (*s.left.terms, *s.right.terms)}
    found = [
        len(sweep.points)
        for sweep in _sweeps(recipe)
        if sweep is not inside
        and any(isinstance(step, r.Evaluate) and step.name in read for step in sweep.points[0].steps)
    ]
    return math.prod(found)


def _sweeps(recipe: r.Recipe) -> Iterator[r.Sweep]:
    return (step for step in recipe.steps if isinstance(step, r.Sweep))


def missing(p: Planning, s: r.Check) -> str | None:
    """Why a claim names a control that its evaluation will not have; None when it has all of them."""
    for term in (*s.left.terms, *s.right.terms):
        step = p.named.get(term.path[0])
        if term.variant is None or not isinstance(step, r.Evaluate):
            continue
        steer = p.named[step.steer]
        assert isinstance(steer, r.Steer)
        if all(v.name != term.variant for v in controls.variants(step, steer, p.named, p.recipe.data)):
            why = "has no direction to turn" if term.variant == RANDOM else "does not say what to ask for"
            return f"`{step.name}` has no `{term.variant}`: `{step.steer}` {why}"
    return None


def _of_score(
    p: Planning, step: r.Evaluate, path: tuple[str, ...], variant: str | None, level: float
) -> Iterator[tuple[str, str]]:
    """The smallest difference that each data set of a score can settle."""
    entry = metric_of(path[1])
    score, rate = ".".join(path[:2]), entry is not None and entry.rate
    table = _known(p, step.name)
    for ref in step.data:
        if len(path) > 2 and ref.label != path[2]:
            continue
        n = len(samples(p.data, ref, p.source))
        prompts = f"{formatting.count(n, 'prompt')} of {formatting.data(ref)}"
        if rate:
            least = rates.least_gap(n, level)
            if least is None:
                yield TOO_FEW, f"{prompts} cannot settle a difference of {score}"
            else:
                gap = f"{formatting.percent(round(least, 4))} and more, where no prompt goes against it"
                yield "settles", f"{prompts}: differences of {score} of {gap}"
        elif n < stats.LEAST:
            yield TOO_FEW, f"{prompts} give no interval of {score}; it takes {stats.LEAST}"
        elif table is None or (found := _estimate(table.select(metric=path[1], data=ref.name), variant)) is None:
            yield "settles", f"{prompts}: known once {score} has been made, whose spread decides it"
        elif (reach := max(found.reach(1 - level))) >= max(map(abs, found.bounds)):
            yield TOO_FEW, f"{prompts} cannot settle a difference of {score} that there can be, by their spread so far"
        else:
            yield "settles", f"{prompts}: differences of {score} of {reach:.3g} and more, by their spread so far"


def _known(p: Planning, evaluation: str) -> Table | None:
    """The table of an evaluation that the store has."""
    key = p.keys.get(evaluation)
    if key is None or p.store is None:
        return None

    def read(folder: Path) -> Table:
        return Table(of_nested(read_json(folder / "scores.json", TABLE, within=folder)))

    return p.store.load(key, read)


def _estimate(rows: Table, variant: str | None) -> stats.Estimate | None:
    """A steer's figure, or its difference from a control; None where its spread is not known."""
    by_variant = {row.variant: row for row in rows}
    own = steered(by_variant)
    if own is None or (variant is not None and variant not in by_variant):
        return None
    terms = [(1.0, by_variant[own].figures())]
    if variant is not None:
        terms.append((-1.0, by_variant[variant].figures()))
    found = stats.estimate(terms)
    return found if found.parts else None
