"""Claims: the `check` steps of a plan.

In: a planned check and the scores so far. Out: a verdict in the run's results; a failed check does
not stop the run, so that all of them are reported.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steerdsl.engine.context import Run
from steerdsl.engine.points import undecided
from steerdsl.lang import recipe as r
from steerdsl.lang.variants import BASELINE, steered
from steerdsl.methods import algebra
from steerdsl.methods.types import MethodError
from steerdsl.plan.plan import PlanStep

COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def check(run: Run, planned: PlanStep) -> None:
    """Compare both sides of a claim and keep the verdict with the figures behind it."""
    step = planned.step
    assert isinstance(step, r.Check)
    points = _points(run, step.left) or _points(run, step.right) or [{}]
    run.results.checks += [_verdict(run, step, at) for at in points]


def _verdict(run: Run, step: r.Check, at: Mapping[str, str]) -> dict[str, Any]:
    """Both sides at one point of a sweep, or outside (`at` is empty). At a point without figures the claim
    does not hold, and the verdict says why; outside there is nothing to compare, and the run stops."""
    try:
        left, right = figure(run, step.left, at), figure(run, step.right, at)
    except MethodError as error:
        if not at:
            raise
        return undecided(step, dict(at), _failure(run, at) or error.problem)
    holds = COMPARE[step.op](left, right)
    sides = {"left": left, "right": right, "by": left - right}
    return {"claim": step.text, "holds": holds, **sides, "at": dict(at), "reason": None}


def _failure(run: Run, at: Mapping[str, str]) -> str | None:
    """Why a point of a sweep has no figures."""
    return next((entry["reason"] for entry in run.results.failed if entry["at"] == at), None)


def _points(run: Run, side: r.Figure) -> list[Mapping[str, str]]:
    if not side.path:
        return []
    return [p["at"] for p in run.results.scores.get(side.path[0], {}).get("points", ())]


def figure(run: Run, side: r.Figure, at: Mapping[str, str]) -> float:
    """The number that one side of a claim stands for; `baseline` is the unsteered answers' figure."""
    if side.value is not None:
        return side.value * side.share
    if side.path[0] == "cosine()":
        return _cosine(run, side.path)
    entry = run.results.scores[side.path[0]]
    table = entry if "points" not in entry else next(p["scores"] for p in entry["points"] if p["at"] == at)
    return side.share * _mean(table, side.path[1:], BASELINE if side.baseline else None)


def _mean(table: Mapping[str, Any], path: Sequence[str], variant: str | None) -> float:
    """The mean of a metric on one data set, or over all of them when none is named."""
    by_data = table[path[0]]
    names = [path[1]] if len(path) > 1 else list(by_data)
    values = []
    for name in names:
        variants = by_data[name]
        chosen = variant or steered(variants)
        assert chosen is not None
        values.append(variants[chosen]["mean"])
    known = [v for v in values if v is not None]
    if not known:
        raise MethodError(f"{'.'.join(path)} has no figure to compare", "check a metric that these data give")
    return float(sum(known) / len(known))


def _cosine(run: Run, path: Sequence[str]) -> float:
    """The smallest cosine of two vectors over their layers."""
    u, v = (run.values.vectors[name] for name in path[1:3])
    return float(algebra.cosine(u, v).min())
