"""The step that makes a data set of answers.

In: a planned `AnswerData` step. Out: its answers in the store, made batch by batch, with which of them were kept
and why the others were not; the data set in the run's plan, whose later steps see it; the counts and every answer in
the run's results.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from steerdsl.data import DataRow
from steerdsl.engine.answer_figures import figures
from steerdsl.engine.context import Run
from steerdsl.engine.generate import Answer
from steerdsl.engine.generate_shared import Asks
from steerdsl.engine.stored_answers import answers, withheld
from steerdsl.forms.form import EACH
from steerdsl.forms.record import NUMBER
from steerdsl.forms.text import read_lines
from steerdsl.lang import recipe as r
from steerdsl.lang.columns import labels
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.lang.grammar import SIDES
from steerdsl.planning.answer_data import made_data
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.planner import with_answers
from steerdsl.planning.requests import Request
from steerdsl.planning.samples import Sample
from steerdsl.store.files import write_lines
from steerdsl.store.results import content_key

EMPTY = "the answer is empty"
BOTH = "it meets the conditions of both sides"
_DECIDED: Mapping[str, Any] = {"kept": str | None, "why": str | None, "marks": {EACH: NUMBER}}
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    **{"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge},
    **{"==": operator.eq, "!=": operator.ne},
}


@dataclass(slots=True)
class Made:
    """One answer: to which sample, on which side it was asked for, what the metrics of `keep` gave (None for none),
    and why a judge gave no mark. `kept` is the side that it is on, "" for data without sides and None where it was
    dropped; `why` says why."""

    sample: Sample
    answer: Answer
    side: str
    marks: dict[str, float | None] = field(default_factory=dict)
    unmarked: dict[str, str] = field(default_factory=dict)
    kept: str | None = None
    why: str | None = None

    @property
    def said(self) -> str:
        """The whole answer, with the words that it was given to begin with."""
        return (self.sample.response or "") + self.answer.text


def answers_step(run: Run, planned: PlanStep) -> None:
    """Make the answers of a data set, keep those that meet its conditions, and let the rest of the plan see them.

    Raises RecipeError D550 where none is kept, on a side or at all; D511 for a part that none is in.
    """
    step = planned.step
    assert isinstance(step, r.AnswerData) and planned.key is not None
    run.asks = Asks(run, dict(planned.shared))
    run.asks.gather(run, planned)
    run.asks.answer()
    made = [
        Made(request.found[answer.prompt], answer, request.ref.side or "")
        for request in planned.requests
        for answer in sorted(answers(run, request), key=lambda a: (a.prompt, a.sample))
    ]
    _decide(run, planned, step, made)
    spec = run.plan.recipe.data[step.name]
    counts = _counts(spec, made)
    run.results.answered[step.name] = {**counts, "rows": _lines(run, planned.requests[0], made)}
    _require_some(step, spec, counts)
    kept = [(_row(one), one.kept) for one in made if one.kept is not None]
    run.plan = with_answers(run.plan, made_data(step, spec, run.plan.data, kept, run.plan.source), run.store)


def _decide(run: Run, planned: PlanStep, step: r.AnswerData, made: Sequence[Made]) -> None:
    """Say of each answer whether it is kept; what was said before is in the store."""
    assert planned.key is not None

    def read(folder: Path) -> list[Any]:
        return read_lines(folder / "kept.jsonl", _DECIDED, within=folder)

    lines = run.store.load(planned.key, read)
    if lines is not None and len(lines) == len(made):
        for one, line in zip(made, lines, strict=True):
            one.kept, one.why, one.marks = line["kept"], line["why"], line["marks"]
        return
    _mark(run, step, made)
    by_conditions = step.asking[0].side == "" and bool(run.plan.recipe.data[step.name].sides)
    for one in made:
        one.kept, one.why = _kept(step, by_conditions, one)
    own = [{"kept": one.kept, "why": one.why, "marks": one.marks} for one in made]
    run.store.put(planned.key, {"kind": "kept answers"}, lambda fresh: write_lines(fresh / "kept.jsonl", own))


def _named(step: r.AnswerData) -> list[tuple[str, r.MetricCall]]:
    """The metric of each condition, with what it is called."""
    calls = [test.metric for test in step.keep]
    different = list({content_key({"name": c.name, "options": dict(c.options)}): c for c in calls}.values())
    names = dict(zip(map(id, different), labels(different), strict=True))
    same = [next(d for d in different if (d.name, d.options) == (c.name, c.options)) for c in calls]
    return [(names[id(call)], call) for call in same]


def _mark(run: Run, step: r.AnswerData, made: Sequence[Made]) -> None:
    """What each metric of the conditions gives each answer."""
    calls = dict(_named(step))
    if not calls:
        return
    run.progress(f"marking the answers of {step.name}", 0, 0)
    samples, said = [one.sample for one in made], [one.said for one in made]
    found = figures(run, list(calls.values()), samples, said, [one.answer for one in made])
    for name, own in zip(calls, found, strict=True):
        for one, value, why in zip(made, own.values, own.whys, strict=True):
            one.marks[name] = value if math.isfinite(value) else None
            if why:
                one.unmarked[name] = why


def _kept(step: r.AnswerData, by_conditions: bool, one: Made) -> tuple[str | None, str | None]:
    """The side on which an answer is kept, "" for data without sides; or None and why it is dropped. With
    `by_conditions` the sides differ in what they keep alone."""
    if not one.said.strip():
        return None, EMPTY
    failed = [(test.side, _failed(test, name, one)) for test, (name, _) in zip(step.keep, _named(step), strict=True)]

    def why(side: str) -> str | None:
        return next((reason for of, reason in failed if reason and of in ("", side)), None)

    if not by_conditions:
        reason = why(one.side)
        return (None, reason) if reason else (one.side, None)
    sides = [side for side in SIDES if why(side) is None]
    if len(sides) == 1:
        return sides[0], None
    return None, why("") or (BOTH if sides else why(SIDES[0]))


def _failed(test: r.Kept, name: str, one: Made) -> str | None:
    """Why an answer does not meet a condition; None where it does."""
    mark = one.marks[name]
    if mark is None:
        return f"`{name}` gives it no figure" + (f": {one.unmarked[name]}" if name in one.unmarked else "")
    return None if COMPARE[test.op](mark, test.value) else f"not `{test.text}`"


def _counts(spec: r.DataSpec, made: Sequence[Made]) -> dict[str, Any]:
    """How many answers were made and kept, and how many were dropped for which reason."""
    kept = Counter(one.kept for one in made if one.kept is not None)
    dropped = Counter(one.why for one in made if one.why is not None)
    sides = {"kept_by_side": {side: kept[side] for side in SIDES}} if spec.sides else {}
    return {"made": len(made), "kept": kept.total(), **sides, "dropped": dict(dropped.most_common())}


def _require_some(step: r.AnswerData, spec: r.DataSpec, counts: Mapping[str, Any]) -> None:
    """Raise RecipeError D550 where no answer is left, on a side or at all."""
    bare = [side for side, n in counts.get("kept_by_side", {}).items() if not n]
    if counts["kept"] and not bare:
        return
    where = f"of the {bare[0]} side of `{step.name}`" if bare and counts["kept"] else f"of `{step.name}`"
    notes = tuple(f"{n} of {counts['made']} were dropped: {why}" for why, n in counts["dropped"].items())
    help = "keep more of them, ask more questions or more often (`n:`), or ask in another way (`system:`)"
    raise RecipeError([Diagnostic("D550", f"no answer {where} was kept", notes=notes, help=help)], Exit.FAILED)


def _row(one: Made) -> DataRow:
    """An answer as a row of the data set."""
    return replace(
        one.sample.row, said=one.said, tokens=one.answer.token_ids, opening=one.sample.response, label=one.kept or None
    )


def _lines(run: Run, request: Request, made: Sequence[Made]) -> list[dict[str, Any]]:
    """Every answer with what became of it, as `data/NAME.jsonl` of the run directory has it."""
    hidden, lines = withheld(run, request), []
    for one in made:
        row = one.sample.row
        system = next((said for who, said in row.before if who == "system"), None)
        text: dict[str, Any] = {"answer": one.said}
        if hidden:
            text = {"answer": None, "answer_sha256": hashlib.sha256(one.said.encode()).hexdigest()}
        lines.append(
            {
                "row": row.index,
                "sample": one.answer.sample,
                **({"side": one.kept or one.side} if one.kept or one.side else {}),
                "system": system,
                "question": one.sample.prompt,
                **text,
                "ended": one.answer.ended,
                "kept": one.kept is not None,
                "why": one.why,
                "figures": one.marks,
            }
        )
    return lines
