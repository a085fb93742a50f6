"""What metrics read beyond the answers' text, made for all variants of an evaluation at once.

In: `Scene`s, each one variant's answers and the unsteered ones. Out: fields of `measure.answers.Answers`.
One function for each thing that a metric's `needs` may name, in `LOGPROBS`. What is read under steers shares
batches; what the model gives without edits is asked for along with every steer and at every point of a sweep, so
it is read by itself, and once in a run.
"""

from __future__ import annotations

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
from steerdsl.engine.stored_answers import rendered
from steerdsl.lang.variants import BASELINE
from steerdsl.measure.choices import letters
from steerdsl.measure.metrics.multiple_choice import FORMS, prompt
from steerdsl.models.prompts import Renderer
from steerdsl.planning.controls import Variant
from steerdsl.planning.requests import Request

T = TypeVar("T")
Supplied = list[dict[str, Any]]  # one for each scene


@dataclass(frozen=True, slots=True)
class Scene:
    """One variant on one data set. own, base, steered: its answers, the unsteered ones and the steer's,
    one a prompt; `steer` is what acts."""

    run: Run
    request: Request
    own: Sequence[Answer]
    base: Sequence[Answer]
    steered: Sequence[Answer]
    steer: Acting | None


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


def _judgements(scene: Scene) -> dict[str, list[float]]:
    """A judge's marks of this variant's answers, each shown with the unsteered one; the unsteered
    answers have the marks that they got next to the steer's."""
    alone = scene.request.variant.name == BASELINE
    other = scene.steered if alone else scene.own
    questions = [s.prompt for s in scene.request.found]
    base, marked = scene.run.judge.compare(questions, [a.text for a in scene.base], [a.text for a in other])
    return base if alone else marked


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
