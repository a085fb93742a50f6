"""What metrics read beyond the answers' text, made while they read it.

In: a `Scene`, one variant's answers and the unsteered ones. Out: fields of `measure.answers.Answers`.
One function for each thing that a metric's `needs` may name, in `LOGPROBS`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from steerdsl.engine.answers import Answer
from steerdsl.engine.asking import Request, rendered
from steerdsl.engine.context import Run
from steerdsl.engine.letters import letter_logprobs
from steerdsl.engine.likelihood import read_shifts, read_texts
from steerdsl.lang.variants import BASELINE
from steerdsl.measure.choices import letters
from steerdsl.measure.metrics.multiple_choice import FORMS, prompt
from steerdsl.models.prompts import Rendered, Renderer


@dataclass(frozen=True, slots=True)
class Scene:
    """One variant on one data set. own, base, steered: its answers, the unsteered ones and the steer's,
    one a prompt; `edits` are the variant's touches."""

    run: Run
    request: Request
    own: Sequence[Answer]
    base: Sequence[Answer]
    steered: Sequence[Answer]
    edits: Sequence[Any]

    @property
    def size(self) -> int:
        """Texts read at a time; their distributions are held at once, and they are large."""
        return max(1, self.run.plan.batch_size // 4)


def supply(scene: Scene, needs: set[str]) -> dict[str, Any]:
    """Keyword arguments of `Answers`: what metrics with these `needs` read."""
    logprobs: dict[str, Any] = {}
    for need, make in LOGPROBS.items():
        if need in needs:
            logprobs |= make(scene)
    return {"logprobs": logprobs, "judgements": _judgements(scene) if "judge" in needs else {}}


def _judgements(scene: Scene) -> dict[str, list[float]]:
    """A judge's marks of this variant's answers, each shown beside the unsteered one; the unsteered
    answers have the marks that they got beside the steer's."""
    alone = scene.request.variant.name == BASELINE
    other = scene.steered if alone else scene.own
    questions = [s.prompt for s in scene.request.found]
    base, marked = scene.run.judge.compare(questions, [a.text for a in scene.base], [a.text for a in other])
    return base if alone else marked


def _answer(scene: Scene) -> dict[str, Any]:
    """log p of each token of the unsteered answers, under this variant and unsteered."""
    return {"answer": _logprobs(scene, steered=True), "answer_base": _logprobs(scene, steered=False)}


def _kl(scene: Scene) -> dict[str, Any]:
    """KL(unsteered ‖ this variant) at each token of the unsteered answers."""
    found = read_shifts(
        scene.run.session, _along(scene, steered=False), _along(scene, steered=True), scene.edits, scene.size
    )
    return {"kl": (nats.numpy() for nats in found)}


def _logprobs(scene: Scene, *, steered: bool) -> Iterator[Any]:
    return _read(scene, *_along(scene, steered=steered), scene.edits if steered else ())


def _read(scene: Scene, texts: Sequence[Rendered], starts: Sequence[int], edits: Sequence[Any]) -> Iterator[Any]:
    """log p of each token of each text from its start on."""

    def read() -> Iterator[Any]:
        for logprobs in read_texts(scene.run.session, texts, starts, edits, scene.size):
            yield logprobs.numpy()

    return read() if edits else _once(scene, (tuple(t.ids for t in texts), tuple(starts)), read)


def _once(scene: Scene, key: Hashable, read: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """What the model gives without edits. It is asked for beside every steer and at every point of a sweep, and
    read once in a run."""
    known = scene.run.unsteered
    if key not in known:
        known[key] = list(read())
    yield from known[key]


def _along(scene: Scene, *, steered: bool) -> tuple[list[Rendered], list[int]]:
    """The unsteered answers after the variant's own prompts, or plain, and where they start."""
    prompts = rendered(scene.run, scene.request) if steered else scene.run.render(scene.request.found)
    texts = [replace(p, ids=(*p.ids, *a.token_ids)) for p, a in zip(prompts, scene.base, strict=True)]
    return texts, [len(p.ids) for p in prompts]


def _text(scene: Scene) -> dict[str, Any]:
    """log p of each token of the data set's own texts, read without a template; an instruction stands
    before the text and is not scored."""
    plain = Renderer(scene.run.plan.model.tokenizer, template="none")
    texts = [plain.render(s.prompt) for s in scene.request.instructed()]
    alone = [len(plain.render(s.prompt).ids) for s in scene.request.found]
    starts = [max(1, len(t.ids) - n + 1) for t, n in zip(texts, alone, strict=True)]
    # Every metric that reads a text reads it anew, so the readings are kept.
    return {"text": list(_read(scene, texts, starts, scene.edits))}


def _letters(scene: Scene) -> dict[str, Any]:
    """log p of each option's letter after the question, for each form of `multiple_choice`."""
    return {f"letters {form}": _after_question(scene, form) for form in FORMS}


def _after_question(scene: Scene, form: str) -> Iterator[Any]:
    options = [letters(s.row.choices) for s in scene.request.found]
    questions = [replace(s, prompt=prompt(s.prompt, s.row.choices, form)) for s in scene.request.found]
    asked = [s.prompt for s in replace(scene.request, found=tuple(questions)).instructed()]
    run = scene.run

    def read() -> list[Any]:
        return letter_logprobs(run.session, run.renderer, asked, options, scene.edits, run.plan.batch_size)

    yield from read() if scene.edits else _once(scene, (tuple(asked), tuple(options)), read)


LOGPROBS: Mapping[str, Callable[[Scene], dict[str, Any]]] = {
    "answer": _answer,
    "kl": _kl,
    "text": _text,
    "letters": _letters,
}
