"""What metrics read beyond the answers' text, made for all variants of an evaluation at once.

In: `Scene`s, each one variant's answers and the unsteered ones. Out: fields of `measure.answers.Answers`.
One function for each thing that a metric's `needs` may name, in `LOGPROBS`. What is read under steers shares
batches; what the model gives without edits is asked for along with every steer and at every point of a sweep, so
it is read by itself, and once in a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from steerdsl.engine.batch_edits import Acting
from steerdsl.engine.context import Run
from steerdsl.engine.continuations import letter_logprobs
from steerdsl.engine.generate import Answer
from steerdsl.engine.likelihood import Reading, read_shifts, read_texts
from steerdsl.engine.readings import keeper
from steerdsl.engine.rubric_marks import Shown, values
from steerdsl.engine.stored_answers import rendered
from steerdsl.lang.recipe import MetricCall
from steerdsl.lang.variants import BASELINE
from steerdsl.measure.choices import letters
from steerdsl.measure.metrics.classifier import asked
from steerdsl.measure.metrics.multiple_choice import FORMS, prompt
from steerdsl.measure.metrics.rubric import judge_of, rubrics
from steerdsl.measure.rubric import Rubric
from steerdsl.models.prompts import Renderer
from steerdsl.planning.controls import Variant
from steerdsl.planning.requests import Request
from steerdsl.registry import find

T = TypeVar("T")
Supplied = list[dict[str, Any]]  # one for each scene


@dataclass(frozen=True, slots=True)
class Scene:
    """One variant on one data set. own, base, steered: its answers, the unsteered ones and the steer's,
    one a prompt; `steer` is what acts; `lost` says why an answer of its own has no text to read,
    `lost_base` why an unsteered one has none."""

    run: Run
    request: Request
    own: Sequence[Answer]
    base: Sequence[Answer]
    steered: Sequence[Answer]
    steer: Acting | None
    lost: Sequence[str | None] = ()
    lost_base: Sequence[str | None] = ()


def supply(scenes: Sequence[Scene], needs: AbstractSet[str]) -> Supplied:
    """Keyword arguments of `Answers` for each scene of one run: what metrics with these `needs` read."""
    logprobs: Supplied = [{} for _ in scenes]
    for need, make in LOGPROBS.items():
        if need in needs:
            for own, made in zip(logprobs, make(scenes), strict=True):
                own |= made
    judged = "judge" in needs
    return [
        {"logprobs": own, "judgements": _judgements(scene) if judged else {}}
        for scene, own in zip(scenes, logprobs, strict=True)
    ]


def rubric_marks(scenes: Sequence[Scene], calls: Sequence[MetricCall]) -> list[dict[Any, list[float]]]:
    """The marks of each scene's answers by the judges and rubrics of `calls`, all scenes at once. An answer without a
    text is not shown to a judge."""
    found: list[dict[Any, list[float]]] = [{} for _ in scenes]
    wanted = [(judge_of(c.options), rubric) for c in calls if needs_marks(c) for rubric in rubrics(c.options)]
    for judge, rubric in dict.fromkeys(wanted):
        items = [_items(scene, rubric) for scene in scenes]
        told = [item for own in items for item in own if item is not None]
        given = iter(values(scenes[0].run.marks.give(judge, rubric, told)))
        for own, marks in zip(items, found, strict=True):
            marks[judge, rubric] = [math.nan if item is None else next(given) for item in own]
    for call in calls:
        if "classes" in find("metric", call.name).needs:
            for scene, marks in zip(scenes, found, strict=True):
                marks[asked(call.options)] = _classified(scene, *asked(call.options))
    return found


def _classified(scene: Scene, name: str, label: str, reads: str) -> list[float]:
    """The probability of a label for each answer of a scene; nan where there is no text."""
    lost = scene.lost or [None] * len(scene.own)
    rows = zip(scene.request.found, scene.own, lost, strict=True)
    texts = [None if why else ((s.prompt, a.text) if reads == "both" else (a.text,)) for s, a, why in rows]
    given = iter(scene.run.labellers[name].probabilities(label, [text for text in texts if text is not None]))
    return [math.nan if text is None else next(given) for text in texts]


def needs_marks(call: MetricCall) -> bool:
    """Whether a metric reads marks by rubrics."""
    return "marks" in find("metric", call.name).needs


def _items(scene: Scene, rubric: Rubric) -> list[Shown | None]:
    """What a judge is shown of each answer: the unsteered one only where the rubric asks for it."""
    none = [None] * len(scene.own)
    lost = zip(scene.lost or none, scene.lost_base or none, strict=True)
    rows = zip(scene.request.found, scene.own, scene.base, lost, strict=True)
    shown = rubric.reads_baseline
    return [
        None if why or (shown and why_base) else Shown(s.prompt, own.text, base.text if shown else "")
        for s, own, base, (why, why_base) in rows
    ]


def _judgements(scene: Scene) -> dict[str, list[float]]:
    """A judge's marks of this variant's answers, each shown with the unsteered one; the unsteered
    answers have the marks that they got next to the steer's."""
    alone = scene.request.variant.name == BASELINE
    other = scene.steered if alone else scene.own
    questions = [s.prompt for s in scene.request.found]
    base, marked = scene.run.judge.compare(questions, [a.text for a in scene.base], [a.text for a in other])
    lost = scene.lost_base or [None] * len(scene.base)
    found = base if alone else marked
    return {name: [math.nan if why else m for m, why in zip(own, lost, strict=True)] for name, own in found.items()}


def _together(
    scenes: Sequence[Scene], kind: str, items: Sequence[Sequence[T]], read: Callable[[Sequence[T]], Sequence[Any]]
) -> list[list[Any]]:
    """What `read` makes of each scene's items: of those under steers at once, of the others scene by scene."""
    steered = [item for scene, own in zip(scenes, items, strict=True) if scene.steer for item in own]
    found = iter(read(steered) if steered else ())
    parts = []
    for scene, own in zip(scenes, items, strict=True):
        if scene.steer:
            parts.append([next(found) for _ in own])
            continue
        known, key = scene.run.unsteered, (kind, tuple(own))
        if key not in known:
            known[key] = list(read(own))
        parts.append(known[key])
    return parts


def _logprobs(scenes: Sequence[Scene], texts: Sequence[Sequence[Reading]]) -> list[list[Any]]:
    """log p of each token of each text from its start on."""
    run = scenes[0].run

    def read(own: Sequence[Reading]) -> list[Any]:
        return [logprobs.numpy() for logprobs in read_texts(run.session, own, run.plan.logit_rows, keeper(run))]

    return _together(scenes, "texts", texts, read)


def _answer(scenes: Sequence[Scene]) -> Supplied:
    """log p of each token of the unsteered answers, under this variant and unsteered."""
    plain = _plain(scenes[0])
    (base,) = _logprobs([plain], [_along(plain)])
    return [{"answer": own, "answer_base": base} for own in _logprobs(scenes, [_along(scene) for scene in scenes])]


def _kl(scenes: Sequence[Scene]) -> Supplied:
    """KL(unsteered ‖ this variant) at each token of the unsteered answers."""
    run, plain = scenes[0].run, _along(_plain(scenes[0]))

    def read(pairs: Sequence[tuple[Reading, Reading]]) -> list[Any]:
        return [nats.numpy() for nats in read_shifts(run.session, pairs, run.plan.logit_rows, keeper(run))]

    pairs = [list(zip(plain, _along(scene), strict=True)) for scene in scenes]
    return [{"kl": own} for own in _together(scenes, "kl", pairs, read)]


def _plain(scene: Scene) -> Scene:
    """The model without edits and without an instruction."""
    request = replace(scene.request, variant=Variant(BASELINE))
    return replace(scene, request=request, steer=None)


def _along(scene: Scene) -> list[Reading]:
    """The unsteered answers after the variant's own prompts."""
    prompts = rendered(scene.run, scene.request)
    return [Reading((*p.ids, *a.token_ids), len(p.ids), scene.steer) for p, a in zip(prompts, scene.base, strict=True)]


def _text(scenes: Sequence[Scene]) -> Supplied:
    """log p of each token of the data set's own texts, read without a template; an instruction stands
    before the text and is not scored."""
    renderer = Renderer(scenes[0].run.plan.model.tokenizer, template="none")
    return [{"text": own} for own in _logprobs(scenes, [_own_texts(scene, renderer) for scene in scenes])]


def _own_texts(scene: Scene, renderer: Renderer) -> list[Reading]:
    texts = [renderer.render(s.prompt, before=s.before).ids for s in scene.request.instructed()]
    alone = [len(renderer.render(s.prompt, before=s.before).ids) for s in scene.request.found]
    return [Reading(ids, max(1, len(ids) - n + 1), scene.steer) for ids, n in zip(texts, alone, strict=True)]


def _letters(scenes: Sequence[Scene]) -> Supplied:
    """log p of each option's letter after the question, for each form of `multiple_choice`."""
    found: Supplied = [{} for _ in scenes]
    for form in FORMS:
        for own, read in zip(found, _after_questions(scenes, form), strict=True):
            own[f"letters {form}"] = read
    return found


def _after_questions(scenes: Sequence[Scene], form: str) -> list[list[Any]]:
    run = scenes[0].run

    def questions(scene: Scene) -> list[tuple[str, str, Acting | None, Any]]:
        found = [replace(s, prompt=prompt(s.prompt, s.row.choices, form)) for s in scene.request.found]
        asked = replace(scene.request, found=tuple(found)).instructed()
        own = zip(asked, scene.request.found, strict=True)
        return [(s.prompt, letters(of.row.choices), scene.steer, s.before) for s, of in own]

    def read(own: Sequence[tuple[str, str, Acting | None, Any]]) -> list[Any]:
        texts, options, steers, before = zip(*own, strict=True)
        rows, keep = run.plan.logit_rows, keeper(run)
        return letter_logprobs(run.session, run.renderer, texts, options, steers, rows, keep, before)

    return _together(scenes, "letters", [questions(scene) for scene in scenes], read)


LOGPROBS: Mapping[str, Callable[[Sequence[Scene]], Supplied]] = {
    "answer": _answer,
    "kl": _kl,
    "text": _text,
    "letters": _letters,
}
