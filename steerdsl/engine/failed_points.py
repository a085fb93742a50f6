"""What becomes of a point of a sweep that fails: it is marked, and the others are kept.

In: the error of one point's step. Out: an entry of the run's `failed`; for every evaluation of the sweep a
table whose figures are null, never 0; for every claim a verdict that settles nothing; one R814 at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steerdsl.engine import checks
from steerdsl.engine.context import Run
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Exit, Label, RecipeError
from steerdsl.measure.claims import Claim
from steerdsl.measure.table import At, Point, Row, Table, point, said
from steerdsl.methods.types import MethodError
from steerdsl.planning.formatting import count
from steerdsl.planning.plan import PlanStep

SHOWN = 8  # failed points that a message lists


def of_one_point(error: RecipeError) -> bool:
    """Whether an error comes from what a point computes. A server that is gone, a full disk or a missing
    file would fail every point alike."""
    return isinstance(error.__cause__, MethodError)


def mark(run: Run, planned: PlanStep, left: Sequence[PlanStep], error: RecipeError) -> None:
    """Note that the point where the run is has failed at the first of the steps `left`."""
    (found, *_) = error.diagnostics
    at, step = dict(run.point), left[0]
    said = {"code": found.code, "reason": found.title, "help": found.help}
    run.results.failed.append({"sweep": planned.name, "at": at, "step": f"{step.verb} {step.name}".rstrip(), **said})
    for check in (each.step for each in left):
        if isinstance(check, r.Check):
            checks.keep(run, Claim(check, at, failure=found.title))


def fill(run: Run, planned: PlanStep) -> None:
    """Give every evaluation of a sweep a table at every point, in the order of the points.

    Raises RecipeError R814 when an evaluation has figures at no point.
    """
    failed = {point(entry["at"]): entry["reason"] for entry in run.results.failed if entry["sweep"] == planned.name}
    if not failed:
        return
    assert isinstance(planned.step, r.Sweep)
    wanted = [{**run.point, **each.labels} for each in planned.step.points]
    for name in dict.fromkeys(s.name for s in planned.points[0] if isinstance(s.step, r.Evaluate)):
        made = run.results.scores.evaluations.get(name, Table())
        whole = [made.points[point(at)] for at in wanted if point(at) in made.points]
        if not whole:
            raise _error(run, f"every point of this sweep failed: {name} has no figures")
        others = [row for row in made if row.at not in wanted]
        rows = [row for at in wanted for row in made.points.get(point(at)) or _blank(whole[0], at, failed)]
        run.results.scores = run.results.scores.put(name, (*others, *rows))


def _blank(like: Table, at: At, failed: Mapping[Point, str]) -> list[Row]:
    return [row.blank(at, failed.get(point(at), "not reached")) for row in like]


def require_none_failed(run: Run) -> None:
    """Raise RecipeError R814, once everything has run, when points of sweeps have failed."""
    if run.results.failed:
        raise _error(run, f"{count(len(run.results.failed), 'point')} of a sweep failed, and the rest is kept")


def _error(run: Run, title: str) -> RecipeError:
    failed = run.results.failed
    notes = [f"at {said(entry['at'])}, {entry['step']}: {entry['code']}: {entry['reason']}" for entry in failed]
    more = (f"and {len(notes) - SHOWN} more; record.json has them all",) if len(notes) > SHOWN else ()
    places = (s for s in run.plan.steps if isinstance(s.step, r.Sweep) and s.name == failed[0]["sweep"])
    labels = tuple(Label(run.plan.source, s.step.span, f"step {s.number}, {s.verb}") for s in places)
    found = Diagnostic("R814", title, labels, (*notes[:SHOWN], *more), failed[0]["help"])
    return RecipeError([found], Exit.FAILED)
