"""What becomes of a point of a sweep that fails: it is marked, and the others are kept.

In: the error of one point's step. Out: an entry of the run's `failed`; for every evaluation of the sweep a
table whose figures are null, never 0; for every claim a verdict that settles nothing; one R814 at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steerdsl.engine import claims
from steerdsl.engine.context import Run
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.methods.types import MethodError
from steerdsl.plan.plan import PlanStep
from steerdsl.plan.words import count

RUN_FAILED = 3
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
            claims.keep(run, claims.Claim(check, at, failure=found.title))


def fill(run: Run, planned: PlanStep) -> None:
    """Give every evaluation of a sweep a table at every point, in the order of the points.

    Raises RecipeError R814 when an evaluation has figures at no point.
    """
    failed = {_place(entry["at"]): entry["reason"] for entry in run.results.failed if entry["sweep"] == planned.name}
    if not failed:
        return
    assert isinstance(planned.step, r.Sweep)
    wanted = [{**run.point, **point.labels} for point in planned.step.points]
    for name in dict.fromkeys(s.name for s in planned.points[0] if isinstance(s.step, r.Evaluate)):
        made = {_place(point["at"]): point for point in run.results.scores.get(name, {}).get("points", ())}
        whole = [made[_place(at)] for at in wanted if _place(at) in made]
        if not whole:
            raise _error(run, f"every point of this sweep failed: {name} has no figures")
        blank = _blank(whole[0]["scores"])
        others = [point for at, point in made.items() if at not in map(_place, wanted)]
        points = [
            made.get(_place(at), {"at": at, "scores": blank, "failed": failed.get(_place(at), "not reached")})
            for at in wanted
        ]
        run.results.scores[name]["points"] = [*others, *points]


def require_none_failed(run: Run) -> None:
    """Raise RecipeError R814, once everything has run, when points of sweeps have failed."""
    if run.results.failed:
        raise _error(run, f"{count(len(run.results.failed), 'point')} of a sweep failed, and the rest is kept")


def _error(run: Run, title: str) -> RecipeError:
    failed = run.results.failed
    notes = [f"at {_words(entry['at'])}, {entry['step']}: {entry['code']}: {entry['reason']}" for entry in failed]
    more = (f"and {len(notes) - SHOWN} more; record.json has them all",) if len(notes) > SHOWN else ()
    places = (s for s in run.plan.steps if isinstance(s.step, r.Sweep) and s.name == failed[0]["sweep"])
    labels = tuple(Label(run.plan.source, s.step.span, f"step {s.number}, {s.verb}") for s in places)
    found = Diagnostic("R814", title, labels, (*notes[:SHOWN], *more), failed[0]["help"])
    return RecipeError([found], RUN_FAILED)


def _place(at: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(at.items()))


def _words(at: Mapping[str, str]) -> str:
    return ", ".join(f"{axis} {label}" for axis, label in at.items())


def _blank(value: Any, key: str = "") -> Any:
    """A table of scores with the same names and no figure. What is compared goes with its figures."""
    if isinstance(value, Mapping):
        return {name: _blank(inner, name) for name, inner in value.items() if name != "against"}
    if isinstance(value, list):
        return [_blank(inner) for inner in value]
    return 0 if key == "n" else None
