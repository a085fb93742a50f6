"""What is answered together: which steps, which answers share batches, and how many rows at a time.

In: planned steps. Out: for each group of requests its `SharedBatches`, lines of the plan, and the order in
which the rows are made. All of it follows from the plan alone, never from what is in the store or from the
memory that happens to be free, so that the same plan makes the same batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import TypeVar

from steerdsl.lang import recipe as r
from steerdsl.lang.reads import needs
from steerdsl.lang.variants import BASELINE, REFERENCE
from steerdsl.planning import formatting
from steerdsl.planning.answer_data import Asked
from steerdsl.planning.batch_size import answer_rows
from steerdsl.planning.controls import Variant
from steerdsl.planning.keys import step_key
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.planning import Planning
from steerdsl.planning.requests import Request, Sampling, SharedBatches, evaluation_settings, references
from steerdsl.planning.samples import samples_key
from steerdsl.store.results import content_key

TEMPLATE = 64  # tokens, about, that a chat template puts round a prompt
ASKING = (r.Generate, r.Evaluate, r.Sweep)
# What needs no reading of the model, or comes after the answers: asking goes on over these.
BETWEEN = (r.Bind, r.Steer, r.Plot, r.Check, r.Export)

T = TypeVar("T")


def generation_key(model_key: str | None, what: str, shared: SharedBatches | None) -> str | None:
    """Key of the answers to a request, from its `what`. In half precision a row's tokens can depend on what
    shares its batch, and `shared` says so; in float32 they do not."""
    if model_key is None:
        return None
    # 2: answers of a pass that was not finite could be among them
    return step_key("generate", 3, {}, model=model_key, what=what, shared=shared and shared.key)


def asks(step: r.Step) -> bool:
    """Whether a step's answers are made together with those of its neighbours. A search asks batch by batch."""
    return isinstance(step, ASKING) and not isinstance(step, r.Tune)


def reach(steps: Sequence[PlanStep], start: int) -> int:
    """One past the last step that is answered together with the one at `start`, which asks: up to the next
    extraction, selection or file."""
    stop = start + 1
    for place in range(start + 1, len(steps)):
        if asks(steps[place].step):
            stop = place + 1
        elif not isinstance(steps[place].step, BETWEEN):
            break
    return stop


def pools(steps: Sequence[PlanStep]) -> Iterator[tuple[int, int]]:
    """The first step and one past the last of each run of steps that are answered together."""
    start = 0
    while start < len(steps):
        if asks(steps[start].step):
            stop = reach(steps, start)
            yield start, stop
            start = stop
        else:
            start += 1


def requests(p: Planning, step: r.Generate | r.Evaluate, variants: Sequence[Variant] = ()) -> tuple[Request, ...]:
    """Every variant of a step on each of its data sets, the references last. Raises RecipeError D511 for an
    empty split."""
    if isinstance(step, r.Generate):
        sampling = Sampling(step.max_tokens, step.temperature, step.n, step.seed)
        return (_request(p, step.name, step.data, Variant(step.steer or BASELINE, step.steer), sampling),)
    wanted = [(variant, Sampling(**evaluation_settings(step))) for variant in variants]
    if needs(step.metrics, "references"):
        wanted.append((Variant(REFERENCE), Sampling(**references(step))))
    return tuple(_request(p, step.name, ref, *each) for ref in step.data for each in wanted)


def made_request(p: Planning, step: r.AnswerData, side: Asked) -> Request:
    """What a data set of answers asks for one of its sides."""
    ref = r.DataRef(step.name, "all", side.side or None, span=step.span)
    sampling = Sampling(step.max_tokens, step.temperature, step.n, step.seed)
    prompts = samples_key(side.found)
    request = Request(step.name, ref, side.found, Variant(step.steer or BASELINE, step.steer), sampling, "", "")
    settings = {"prompts": prompts, "steer": request.variant.steer_key(p.keys), "settings": asdict(sampling)}
    return replace(request, group=f"{prompts} {sampling.max_tokens}", what=content_key(settings))


def together(p: Planning, asked: Sequence[Request]) -> dict[str, SharedBatches]:
    """The batches of requests that share theirs with those of no other step."""
    groups: dict[str, dict[str, Request]] = {}
    for request in asked:
        groups.setdefault(request.group, {}).setdefault(request.what, request)
    return {name: _shared(p, group) for name, group in groups.items()}


def _request(p: Planning, step: str, ref: r.DataRef, variant: Variant, sampling: Sampling) -> Request:
    found, prompts = p.samples(ref)
    group = f"{prompts} {sampling.max_tokens}"
    request = Request(step, ref, found, variant, sampling, group, "")
    asked = prompts if variant.instruction is None else samples_key(request.instructed())
    what = content_key({"prompts": asked, "steer": variant.steer_key(p.keys), "settings": asdict(sampling)})
    return replace(request, what=what)


def requested(planned: PlanStep) -> Iterator[Request]:
    """What a step asks, and what the steps of a sweep ask at its points."""
    yield from planned.asked
    for point in planned.points:
        for inner in point:
            yield from requested(inner)


def shared(p: Planning, pool: Sequence[PlanStep]) -> dict[str, SharedBatches]:
    """The batches of each group of requests of a pool."""
    return together(p, [request for planned in pool for request in requested(planned)])


def _shared(p: Planning, group: Mapping[str, Request]) -> SharedBatches:
    rows = p.batch_size or answer_rows(p.facts, p.dtype, _width(p, group.values()))
    # 2: equal prompts are read once, and rows that have ended leave the batch
    told = {"rows": rows, "asked": list(group), "decoded": 2}
    key = None if p.dtype == "float32" else content_key(told)
    return SharedBatches(rows, sum(request.sampling.n for request in group.values()), key)


def lines(p: Planning, planned: PlanStep, batches: Mapping[str, SharedBatches]) -> Iterator[tuple[str, str]]:
    """The facts of a step about its batches, a line for each data set."""
    return told(p, tuple(requested(planned)), batches)


def told(p: Planning, asked: Sequence[Request], batches: Mapping[str, SharedBatches]) -> Iterator[tuple[str, str]]:
    """The facts about the batches of some requests, a line for each data set and side."""
    counts = {(request.ref.name, request.group): len(request.found) for request in asked}
    for (data, group), prompts in counts.items():
        batch = batches[group]
        most = max(len(part) for part in cut(range(prompts), range(batch.each), batch.rows))
        what = f"{formatting.count(prompts, 'prompt')} × {formatting.count(batch.each, 'answer')} of all variants"
        by = "as asked" if p.batch_size else "by memory"
        yield "batches", f"{data}: {what} as {formatting.count(prompts * batch.each, 'row')}, {most} at a time ({by})"


def cut(prompts: Sequence[int], each: Sequence[T], rows: int) -> Iterator[list[tuple[int, T]]]:
    """The batches in the order in which they are made: which of the rows `each` of which prompt. The first
    has one prompt, so that its answers can be read side by side soon; then as many prompts as `rows` allow,
    in every batch about as many. The rows of one prompt are divided where they are too many."""
    if len(each) >= rows:
        for prompt in prompts:
            for part in _even(each, rows):
                yield [(prompt, row) for row in part]
        return
    for group in (*_even(prompts[:1], 1), *_even(prompts[1:], rows // len(each))):
        yield [(prompt, row) for prompt in group for row in each]


def _even(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Items in as few parts as there can be of at most so many, and about as many in each."""
    parts = -(-len(items) // most)
    ends = [len(items) * i // parts for i in range(parts + 1)] if parts else [0]
    for start, stop in pairwise(ends):
        yield items[start:stop]


def _width(p: Planning, group: Iterable[Request]) -> int:
    """No fewer tokens than a row can have: a text has no more tokens than bytes."""
    widest = 0
    for request in group:
        longest = max(len(sample.asked.encode()) for sample in request.found)
        instruction = (request.variant.instruction or "").encode()
        widest = max(widest, longest + len(instruction) + request.sampling.max_tokens)
    return widest + len((p.recipe.model.system or "").encode()) + TEMPLATE
