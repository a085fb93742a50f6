"""What metrics give single answers, for `keep when`.

In: answers with the rows of their questions, and metrics that score one answer by itself. Out: a number for each, nan
where a metric gives none, and why. A metric that reads more than `lang.reads.ALONE` names gets it here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from steerdsl.engine.context import Run
from steerdsl.engine.generate import Answer
from steerdsl.engine.rubric_marks import Shown, values
from steerdsl.lang.reads import needs
from steerdsl.lang.recipe import MetricCall
from steerdsl.measure.answers import Answers
from steerdsl.measure.metrics.classifier import asked
from steerdsl.measure.metrics.rubric import judge_of, rubrics
from steerdsl.measure.scores import score
from steerdsl.planning.samples import Sample

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Marked:
    """What a metric gives each answer, nan for none; `whys` says where a judge gave no mark, and None elsewhere."""

    values: Sequence[float]
    whys: Sequence[str | None]


def figures(
    run: Run, calls: Sequence[MetricCall], found: Sequence[Sample], said: Sequence[str], made: Sequence[Answer]
) -> list[Marked]:
    """The figures of each metric, one value an answer: `said` is the whole answer to the prompt of each sample, with
    the words that it was given to begin with; `made` what the model added. Raises RecipeError R896 for a judge's
    endpoint that does not answer."""
    marks, faults = _marks(run, calls, found, said)
    given = Answers(
        prompts=[sample.prompt for sample in found],
        hypotheses=said,
        token_ids=[answer.token_ids for answer in made],
        ended=[answer.ended for answer in made],
        golds=[sample.row.answer for sample in found],
        choices=[sample.row.choices for sample in found],
        marks=marks,
    )
    own = [next(iter(score([call], given).values())).figures.values for call in calls]
    return [Marked(values, _whys(call, faults, len(said))) for call, values in zip(calls, own, strict=True)]


def _marks(
    run: Run, calls: Sequence[MetricCall], found: Sequence[Sample], said: Sequence[str]
) -> tuple[dict[Any, list[float]], dict[Any, list[str | None]]]:
    """What judges and classifiers give each answer, and why a judge gives none. An empty answer, which is dropped in
    any case, is shown to none of them."""
    marks: dict[Any, list[float]] = {}
    faults: dict[Any, list[str | None]] = {}
    shown = [n for n, text in enumerate(said) if text.strip()]
    for call in calls:
        for judge, rubric in _judges(call):
            given = run.marks.give(judge, rubric, [Shown(found[n].prompt, said[n]) for n in shown])
            marks[judge, rubric] = _spread(shown, values(given), len(said), math.nan)
            faults[judge, rubric] = _spread(shown, [mark.fault for mark in given], len(said), None)
        if needs([call], "classes"):
            name, label, reads = asked(call.options)
            texts = [(found[n].prompt, said[n]) if reads == "both" else (said[n],) for n in shown]
            given_by = run.labellers[name].probabilities(label, texts)
            marks[name, label, reads] = _spread(shown, given_by, len(said), math.nan)
    return marks, faults


def _judges(call: MetricCall) -> list[tuple[str | None, Any]]:
    """The judge and each rubric that a metric asks by; none for one that asks no judge."""
    return [(judge_of(call.options), own) for own in rubrics(call.options)] if needs([call], "marks") else []


def _whys(call: MetricCall, faults: dict[Any, list[str | None]], count: int) -> list[str | None]:
    """Why a metric has no mark of each answer: of several rubrics, the first that has none."""
    own = [faults[place] for place in _judges(call)]
    return [next((each[n] for each in own if each[n]), None) for n in range(count)]


def _spread(places: Sequence[int], own: Sequence[T], count: int, none: T) -> list[T]:
    """`own` at its places among `count`, `none` at the others."""
    at = dict(zip(places, own, strict=True))
    return [at.get(n, none) for n in range(count)]
