"""What each step of a plan will ask of the machine: tokens, memory and time.

In: a plan, and how fast this machine has been so far. Out: `Work` for each step that has to be run. Tokens are
counted where the tokenizer is here, else bounded by the bytes of the texts; answers count with their longest length;
time is known only where this machine has run this model before.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from steerdsl.lang import recipe as r
from steerdsl.lang.reads import needs
from steerdsl.lang.variants import REFERENCE
from steerdsl.models.prompts import Renderer
from steerdsl.planning.batch_size import logit_rows, row_bytes, text_rows
from steerdsl.planning.class_sets import as_extract
from steerdsl.planning.plan import Plan, PlanStep
from steerdsl.planning.requests import Request
from steerdsl.planning.samples import Sample, class_samples
from steerdsl.planning.shared_batches import TEMPLATE, cut
from steerdsl.registry import find

# What a criterion or a method reads again, as often as its numbers ask for.
AGAIN = frozenset({"model", "recapture"})


@dataclass(frozen=True, slots=True)
class Work:
    """What a step asks: `read` tokens of prompts and texts, at most `made` new ones, in `answers` answers. `memory`
    is that of the largest batch, in bytes, by an estimate that is too high; `exact` says that tokens were counted.
    `partly` names what is not in these figures, "" for nothing."""

    read: int = 0
    answers: int = 0
    made: int = 0
    memory: int = 0
    exact: bool = True
    partly: str = ""

    def seconds(self, speeds: Mapping[str, float]) -> float | None:
        """How long it takes at these speeds, in tokens a second; None where one of them is not known. The reading
        of prompts is in the speed of their answers."""
        parts = [(self.read, "read"), (self.made, "made")]
        if any(tokens and kind not in speeds for tokens, kind in parts):
            return None
        return sum(tokens / speeds[kind] for tokens, kind in parts if tokens)


@dataclass(slots=True)
class Estimating:
    """The plan, and what earlier steps of it make: `counted` are requests and classes that cost nothing more.
    `lengths`: of prompts, which every point of a sweep asks anew."""

    plan: Plan
    renderer: Renderer | None
    counted: set[str] = field(default_factory=set)
    lengths: dict[Hashable, int] = field(default_factory=dict)

    def tokens(self, sample: Sample) -> int:
        """The tokens of a prompt as it is rendered, with the answer of a pair."""
        if self.renderer is not None:
            said = (sample.prompt, sample.response, sample.before)
            if said not in self.lengths:
                self.lengths[said] = len(self.renderer.render(*said).ids)
            return self.lengths[said]
        system = self.plan.recipe.model.system or ""
        return TEMPLATE + sum(len(text.encode()) for text in (sample.asked, sample.response or "", system))

    def first(self, what: str) -> bool:
        """Whether this is asked for the first time."""
        new = what not in self.counted
        self.counted.add(what)
        return new


def estimates(plan: Plan) -> dict[int, Work]:
    """The work of each step that has to be run on the model, by its number."""
    spec, tokenizer = plan.recipe.model, plan.model.tokenizer
    renderer = None if tokenizer is None else Renderer.of(spec, tokenizer)
    estimating = Estimating(plan, renderer)
    todo = [step for step in plan.steps if step.weights and not step.done]
    return {step.number: replace(_work(estimating, step), exact=renderer is not None) for step in todo}


def _work(e: Estimating, planned: PlanStep) -> Work:
    match planned.step:
        case r.Extract():
            return _extract(e, planned.step)
        case r.Classes(data=ref) | r.Components(data=ref):
            return _extract(e, as_extract(planned.step, ref))
        case r.Select():
            again = bool(AGAIN & find("select", planned.step.criterion).needs)
            return Work(partly="its prompts are read again for each candidate" if again else "")
        case r.Generate() | r.AnswerData() | r.Evaluate():
            return _asked(e, planned)
        case r.Tune(trials=trials):
            once = _sum([_work(e, inner) for point in planned.points for inner in point if inner.weights])
            return replace(once, read=once.read * trials, answers=once.answers * trials, made=once.made * trials)
        case r.Sweep():
            return _sum([_work(e, inner) for point in planned.points for inner in point if inner.weights])
    return Work()


def _extract(e: Estimating, step: r.Extract) -> Work:
    lengths: list[int] = []
    for ref in (step.positive, step.negative):
        if ref is None or not e.first(f"{ref} {step.position} {step.stream}"):
            continue
        lengths += [e.tokens(sample) for sample in class_samples(e.plan.data, step, ref, e.plan.source)]
    again = AGAIN & find("extract", step.method).needs
    partly = "its prompts are read again in each round" if again else ""
    return Work(read=sum(lengths), memory=_reading(e.plan, lengths), partly=partly)


def _asked(e: Estimating, planned: PlanStep) -> Work:
    """The answers of a step that no step before it asked for, and what its metrics read."""
    parts = [_answers(e, planned, request) for request in planned.asked if e.first(request.what)]
    if isinstance(planned.step, r.Evaluate):
        parts += _likelihoods(e, planned, planned.step)
    return _sum(parts)


def _answers(e: Estimating, planned: PlanStep, request: Request) -> Work:
    sampling, shared = request.sampling, planned.shared.get(request.group)
    lengths = [e.tokens(sample) for sample in request.instructed()]
    width, memory = max(lengths) + sampling.max_tokens, 0
    if shared is not None:
        rows = max(len(part) for part in cut(range(len(lengths)), range(shared.each), shared.rows))
        memory = rows * row_bytes(e.plan.model, e.plan.dtype, width)
    answers = len(lengths) * sampling.n
    return Work(answers=answers, made=answers * sampling.max_tokens, memory=memory)


def _likelihoods(e: Estimating, planned: PlanStep, step: r.Evaluate) -> Iterator[Work]:
    """The texts that metrics read token by token, under each variant."""
    if needs(step.metrics, "harness"):
        yield Work(partly="what lm-evaluation-harness asks is not counted")
    along = any(needs(step.metrics, what) for what in ("answer", "kl"))
    for request in planned.requests:
        if request.variant.name == REFERENCE:
            continue
        lengths = [e.tokens(sample) for sample in request.instructed()]
        limit = request.sampling.max_tokens
        if along:
            yield _read(e.plan, [length + limit for length in lengths])
        if needs(step.metrics, "text"):
            yield _read(e.plan, lengths)
        if needs(step.metrics, "letters"):
            yield replace(_read(e.plan, lengths), partly="the options of each question are not counted")


def _read(plan: Plan, lengths: list[int]) -> Work:
    """Texts of which the logits of each token are needed."""
    vocabulary = int(plan.model.config.get_text_config().vocab_size)
    width = max(lengths)
    logits = 4 * vocabulary * width * min(len(lengths), logit_rows(vocabulary, width))
    return Work(read=sum(lengths), memory=_reading(plan, lengths) + logits)


def _reading(plan: Plan, lengths: list[int]) -> int:
    """Memory of a batch of texts that are read in one pass."""
    if not lengths:
        return 0
    width = max(lengths)
    return min(len(lengths), plan.batch_size or text_rows(width)) * row_bytes(plan.model, plan.dtype, width)


def _sum(parts: list[Work]) -> Work:
    """The work of several parts, one after another."""
    return Work(
        read=sum(part.read for part in parts),
        answers=sum(part.answers for part in parts),
        made=sum(part.made for part in parts),
        memory=max((part.memory for part in parts), default=0),
        partly="; ".join(dict.fromkeys(part.partly for part in parts if part.partly)),
    )
