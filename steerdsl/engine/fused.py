"""Answer what all points of a sweep ask, as rows of shared batches.

In: the requests of the points. Out: their answers in the store, where each point then finds its own.
Each batch is kept in the store as it is made, so that a sweep that was stopped goes on with the
batch that it had not finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from steerdsl.engine.answers import Answer, generate_together
from steerdsl.engine.asking import Request, about, keep, missing, rendered, request_key, show
from steerdsl.engine.context import Run
from steerdsl.engine.evaluation import requests
from steerdsl.engine.meter import Meter
from steerdsl.engine.rows import Acting, acting, compile_rows
from steerdsl.engine.wire import Touch
from steerdsl.lang import recipe as r
from steerdsl.models.batching import Batch, batches, pad_id
from steerdsl.models.prompts import require_room
from steerdsl.plan.fusing import fuses, prompts_of
from steerdsl.plan.plan import PlanStep
from steerdsl.plan.samples import samples_key
from steerdsl.store.claims import discard
from steerdsl.store.files import read_lines, write_lines
from steerdsl.store.results import content_key


@dataclass(frozen=True, slots=True)
class Ask:
    """One request at one point. `run` is the run as it was there; `todo` says that the store lacks the
    answers; those of one `batch` have the same prompts and the same settings."""

    run: Run
    request: Request
    key: str
    steer: Acting
    batch: str
    todo: bool


@dataclass(slots=True)
class Asks:
    """What the points of the sweep `name` ask, gathered point by point; at most `rows` rows a batch."""

    run: Run
    name: str
    rows: int
    found: dict[str, Ask] = field(default_factory=dict)

    def gather(self, run: Run, planned: PlanStep) -> None:
        """Note what one step asks at the point where the run is."""
        evaluates = isinstance(planned.step, r.Evaluate)
        scored = not evaluates or (planned.key is not None and run.store.has(planned.key))
        for request in requests(run, planned):
            if fuses(request.variant.steer, request.sampling.temperature):
                ask = _ask(run, request, scored)
                self.found.setdefault(ask.key, ask)

    def answer(self) -> None:
        """Make the answers that the store lacks."""
        chunks = list(self._chunks())
        total = sum(len(chunk) * len(chunk[0].request.found) for chunk in chunks)
        limit = max((chunk[0].request.sampling.max_tokens for chunk in chunks), default=0)
        meter = Meter(self.run.progress, f"answers of the points of {self.name}", total, limit)
        for chunk in chunks:
            self._answer(chunk, meter)

    def _chunks(self) -> Iterator[list[Ask]]:
        """The steers that share batches, those of one shape together. In float32 those that are missing;
        else all, as planned, where one is missing: there the batch decides the tokens."""
        groups: dict[str, list[Ask]] = {}
        for ask in self.found.values():
            if ask.todo or self.run.together is not None:
                groups.setdefault(ask.batch, []).append(ask)
        for group in groups.values():
            shapes = list(dict.fromkeys(ask.steer.shape for ask in group))
            group.sort(key=lambda ask: shapes.index(ask.steer.shape))
            for start in range(0, len(group), self.rows):
                chunk = group[start : start + self.rows]
                if any(ask.todo for ask in chunk):
                    yield chunk

    def _answer(self, chunk: Sequence[Ask], meter: Meter) -> None:
        """All answers of the steers of one chunk, batch by batch."""
        run, first = self.run, chunk[0].request
        prompts = rendered(run, first)
        require_room(first.ref.name, prompts, run.plan.model.arch.max_positions, first.sampling.max_tokens)
        size = prompts_of(len(chunk), len(prompts), self.rows, run.plan.batch_size)
        for ask in chunk:
            ask.run.session = run.session  # one model for all
        compiled = cache(lambda each: compile_rows([ask.steer for ask in chunk], each, run.plan.model.arch))
        made: list[list[Answer]] = [[] for _ in chunk]
        kept = []
        for batch in batches(prompts, size, pad_id(run.session.opened.tokenizer)):
            key = content_key({"together": [ask.key for ask in chunk], "prompts": batch.index})
            answers = _load(run, key)
            if answers:
                meter.known(len(chunk) * len(batch.index))
            else:
                answers = _make(run, key, chunk, batch, compiled(len(batch.index)), meter)
            kept.append(key)
            for ask, own, new in zip(chunk, made, answers, strict=True):
                own += new
                show(ask.run, ask.request, new)
        for ask, own in zip(chunk, made, strict=True):
            keep(run, ask.key, own, ask.request)
        for key in kept:
            discard(run.store.folder(key))


def _ask(run: Run, request: Request, scored: bool) -> Ask:
    variant = request.variant
    assert variant.steer is not None
    then = _as_now(run)
    steer = acting(run.steers[variant.steer].ops, then.values, variant.draw, run.keys)
    batch = content_key({"prompts": samples_key(request.found), "max_tokens": request.sampling.max_tokens})
    return Ask(then, request, request_key(run, request), steer, batch, missing(run, request, scored))


def _as_now(run: Run) -> Run:
    """The run as it is at this point: what later points name anew changes nothing there."""
    then = replace(run, extractions=dict(run.extractions))
    then.renderer = run.renderer
    values = run.values
    then.values.vectors, then.values.planes = dict(values.vectors), dict(values.planes)
    then.values.chosen = dict(values.chosen)
    return then


def _make(
    run: Run, key: str, chunk: Sequence[Ask], batch: Batch, touches: Sequence[Touch], meter: Meter
) -> list[list[Answer]]:
    """The answers of each steer to one batch of prompts, kept in the store until all are there."""
    made = generate_together(run.session, batch, len(chunk), touches, chunk[0].request.sampling, meter)

    def write(fresh: Path) -> None:
        rows = [[i, a.prompt, a.sample, list(a.token_ids), a.text, a.ended] for i, own in enumerate(made) for a in own]
        write_lines(fresh / "answers.jsonl", rows)

    run.store.put(key, about(run, chunk[0].request, "batch", "several"), write)
    return made


def _load(run: Run, key: str) -> list[list[Answer]] | None:
    """The answers that `_make` kept in an earlier run."""
    rows = run.store.load(key, lambda folder: read_lines(folder / "answers.jsonl"))
    if rows is None:
        return None
    found: list[list[Answer]] = [[] for _ in range(1 + max(row[0] for row in rows))]
    for number, prompt, sample, ids, text, ended in rows:
        found[number].append(Answer(prompt, sample, tuple(ids), text, ended))
    return found
