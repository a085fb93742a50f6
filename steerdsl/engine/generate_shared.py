"""Answer what several steps ask, as rows of shared batches.

In: the requests of steps that are answered together, those of a sweep's points too. Out: their answers in the
store, where each step then finds its own. The rows go by prompt, so that the first batch has a prompt's
answers of all variants. Each batch is kept in the store as it is made, so that a run that was stopped goes
on with the batch that it had not finished.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from steerdsl.engine.batch_edits import Acting, compile_rows, while_read
from steerdsl.engine.context import Run
from steerdsl.engine.edits import Touch
from steerdsl.engine.generate import Answer, AnswerRow, answer, require_sound, rows_of
from steerdsl.engine.meter import Meter
from steerdsl.engine.stored_answers import about, drop, keep, missing, rendered, request_key, show, steer_of, withheld
from steerdsl.forms.kept import BATCHED_ANSWER
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.prompts import require_room
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.requests import Request, SharedBatches
from steerdsl.planning.shared_batches import cut
from steerdsl.store.files import write_lines
from steerdsl.store.finished_run import read_answers
from steerdsl.store.folder_locks import discard
from steerdsl.store.results import content_key

COMPILED = 4  # batches whose edits are held: batches differ in size by one prompt at most


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One request. `run` is the run as it was where it is asked; `todo` says that the store lacks the answers;
    `rows` are those of each prompt."""

    run: Run
    request: Request
    key: str
    steer: Acting | None
    rows: Sequence[Sequence[AnswerRow]]
    todo: bool

    @property
    def shape(self) -> str:
        """What steers have in common that one edit can serve."""
        return "" if self.steer is None else self.steer.shape


Part: TypeAlias = list[tuple[Ask, AnswerRow]]  # one batch
Known: TypeAlias = dict[tuple[str, int, int], Answer]  # by key, prompt and sample


@dataclass(slots=True)
class Asks:
    """What is asked, gathered step by step and point by point, each once. `shared` are the batches by group;
    `fits` is the most rows for which the device has had memory, once a batch has found none."""

    run: Run
    shared: dict[str, SharedBatches] = field(default_factory=dict)
    found: dict[str, Ask] = field(default_factory=dict)
    fits: int | None = None
    _rows: dict[Any, list[list[AnswerRow]]] = field(default_factory=dict)
    _touches: dict[tuple[str, ...], list[Touch]] = field(default_factory=dict)

    def gather(self, run: Run, planned: PlanStep) -> None:
        """Note what one step asks where the run is."""
        scored = not isinstance(planned.step, r.Evaluate) or (planned.key is not None and run.store.has(planned.key))
        scored = scored and not isinstance(planned.step, r.AnswerData)  # what comes after it reads the answers
        for request in planned.asked:
            key = request_key(run, request)
            if key not in self.found:
                then = run.as_now()  # the next point of a sweep binds the same names to other values
                steer, todo = steer_of(then, request.variant), missing(run, request, scored)
                self.found[key] = Ask(then, request, key, steer, self._rows_of(run, request), todo)

    def answer(self) -> None:
        """Make the answers that the store lacks."""
        for group in self._groups():
            self._answer(group, [ask for ask in group if ask.todo])

    def again(self, key: str) -> list[Answer]:
        """The answers of one key, which the store has lost since. Raises NotFinite where one is broken."""
        (group,) = (group for group in self._groups() if any(ask.key == key for ask in group))
        made = self._answer(group, [ask for ask in group if ask.key == key])[key]
        require_sound(made)
        return made

    def _rows_of(self, run: Run, request: Request) -> list[list[AnswerRow]]:
        """The rows of each prompt, made once for all variants that are asked alike."""
        alike = request.group, request.variant.instruction, request.sampling
        if alike not in self._rows:
            prompts = rendered(run, request)
            limit = run.plan.model.arch.max_positions
            require_room(request.ref.name, prompts, limit, request.sampling.max_tokens)
            self._rows[alike] = rows_of(prompts, request.sampling)
        return self._rows[alike]

    def _groups(self) -> list[list[Ask]]:
        """Those that share batches, steers of one shape next to each other."""
        groups: dict[str, list[Ask]] = {}
        for ask in self.found.values():
            groups.setdefault(ask.request.group, []).append(ask)
        for group in groups.values():
            shapes = {shape: place for place, shape in enumerate(dict.fromkeys(ask.shape for ask in group))}
            group.sort(key=lambda ask: shapes[ask.shape])
        return list(groups.values())

    def _answer(self, group: Sequence[Ask], todo: Sequence[Ask]) -> dict[str, list[Answer]]:
        """All answers of `todo` by their keys, batch by batch; where one is broken, none of its request is kept,
        and those next to it are. In half precision, where a batch may change a
        token, its batches are those of the whole group, as planned. In float32 the rest of the group is left
        out, and what an earlier run has made of the whole group is taken."""
        made: dict[str, list[Answer]] = {ask.key: [] for ask in todo}
        if not todo:
            return made
        run, shared, order = self.run, self.shared[group[0].request.group], _order(group)
        name, total = group[0].request.ref.name, sum(len(rows) for ask in todo for rows in ask.rows)

        _ = run.session  # which says so while it is opened
        meter = Meter(run.progress, f"answers to {name}", total, group[0].request.sampling.max_tokens)

        def finish(part: Part, answers: Sequence[Answer]) -> None:
            for ask, own in _by_ask(part, answers):
                if ask.key in made:
                    made[ask.key] += own
                    if error := next((a.broken for a in own if a.broken is not None), None):
                        run.broken.setdefault(ask.key, error)
                    if ask.key in run.broken:
                        drop(ask.run, ask.request)
                    else:
                        show(ask.run, ask.request, own)

        kept: list[str] = []
        if shared.key is None:
            known, kept = self._known(_parts(group, order, shared.rows))
            part, order = _whole(known, todo, order)
            meter.known(len(part))
            finish(part, [known[ask.key, row.place, row.sample] for ask, row in part])
            group = todo
        for part in _parts(group, order, shared.rows):
            key = _part_key(part)
            found = self._load(key)
            if found is None:
                found = self._make(key, part, meter)
            else:
                meter.known(len(part))
            finish(part, found)
            kept.append(key)
        for ask in todo:
            if ask.key not in run.broken:
                made[ask.key] = keep(ask.run, ask.key, made[ask.key], ask.request)
        for key in kept:
            discard(run.store.folder(key))
        return made

    def _known(self, parts: Iterable[Part]) -> tuple[Known, list[str]]:
        """What an earlier run made of these batches before it was stopped, and the keys of these."""
        known: Known = {}
        keys: list[str] = []
        for part in parts:
            key = _part_key(part)
            answers = self._load(key)
            if answers is None:
                break
            known |= {(ask.key, row.place, row.sample): a for (ask, row), a in zip(part, answers, strict=True)}
            keys.append(key)
        if keys:
            self.run.progress("going on with answers that an earlier run has made", 0, 0)
        return known, keys

    def _make(self, key: str, part: Part, meter: Meter) -> list[Answer]:
        """The answers of a batch, kept in the store until all are there. Where one is broken, the batch is not
        kept: its neighbours' answers are, once all batches are made."""
        start = time.perf_counter()
        made = self._fitted(part, meter)
        self.run.measured.add("made", sum(len(a.token_ids) + a.ended for a in made), time.perf_counter() - start)
        if any(a.broken for a in made):
            return made

        def write(fresh: Path) -> None:
            write_lines(fresh / "answers.jsonl", [[list(a.token_ids), a.text, a.ended] for a in made])

        hidden = any(withheld(ask.run, ask.request) for ask, _ in part)
        self.run.store.put(key, about(hidden, "batch", "several"), write)
        return made

    def _load(self, key: str) -> list[Answer] | None:
        """The answers that `_make` kept in an earlier run, without their places."""
        rows = self.run.store.load(
            key, lambda folder: read_answers(folder / "answers.jsonl", BATCHED_ANSWER, within=folder)
        )
        return None if rows is None else [Answer(0, 0, tuple(ids), text, ended) for ids, text, ended in rows]

    def _fitted(self, part: Part, meter: Meter) -> list[Answer]:
        """The answers of a batch, in halves where the device has no memory for it at once."""
        import torch

        if self.fits is None or len(part) <= self.fits:
            try:
                rows, reading = [row for _, row in part], [while_read(ask.steer) for ask, _ in part]
                return answer(self.run.session, rows, self._compiled(part), meter, reading)
            except torch.OutOfMemoryError as error:
                if len(part) == 1:
                    raise RecipeError([_too_large(error)], Exit.FAILED) from error
            self.fits = len(part) // 2
            torch.cuda.empty_cache()
            short = f"the device's memory did not hold {len(part)} answers at once"
            self.run.results.warnings.append(f"{short}: at most {self.fits} shared a batch from there on")
        half = len(part) // 2
        return self._fitted(part[:half], meter) + self._fitted(part[half:], meter)

    def _compiled(self, part: Part) -> list[Touch]:
        """The edits of a batch; batches that have the same rows share them."""
        rows = tuple(ask.key for ask, _ in part)
        if rows not in self._touches:
            if len(self._touches) >= COMPILED:
                self._touches.clear()
            self._touches[rows] = compile_rows([ask.steer for ask, _ in part], self.run.plan.model.arch)
        return self._touches[rows]


def _order(group: Sequence[Ask]) -> list[int]:
    """The prompts of a group by length, the longest first: similar lengths share a batch, which wastes the
    least padding, and too large a batch fails at once."""
    widths = [max(len(ask.rows[place][0].prompt.ids) for ask in group) for place in range(len(group[0].rows))]
    return sorted(range(len(widths)), key=lambda place: -widths[place])


def _parts(asks: Sequence[Ask], order: Sequence[int], rows: int) -> Iterator[Part]:
    """The batches of some prompts; in each the rows of one request are together."""
    each = [(number, sample) for number, ask in enumerate(asks) for sample in range(ask.request.sampling.n)]
    for part in cut(order, each, rows):
        ordered = sorted(part, key=lambda row: row[1][0])
        yield [(asks[number], asks[number].rows[place][sample]) for place, (number, sample) in ordered]


def _whole(known: Known, todo: Sequence[Ask], order: Sequence[int]) -> tuple[Part, list[int]]:
    """The rows of prompts of which all are known, and the prompts that are left."""
    part: Part = []
    left = []
    for place in order:
        rows = [(ask, row) for ask in todo for row in ask.rows[place]]
        if all((ask.key, row.place, row.sample) in known for ask, row in rows):
            part += rows
        else:
            left.append(place)
    return part, left


def _by_ask(part: Part, answers: Sequence[Answer]) -> Iterator[tuple[Ask, list[Answer]]]:
    """The answers of each request of a batch, with their places."""
    own: dict[Ask, list[Answer]] = {}
    for (ask, row), a in zip(part, answers, strict=True):
        own.setdefault(ask, []).append(replace(a, prompt=row.place, sample=row.sample))
    yield from own.items()


def _part_key(part: Part) -> str:
    """Where a batch is kept until all answers of its requests are there."""
    return content_key({"batch": [[ask.key, row.place, row.sample] for ask, row in part]})


def _too_large(error: BaseException) -> Diagnostic:
    title = "the device has too little memory for one answer"
    note = str(error).partition("\n")[0]
    return Diagnostic("R850", title, notes=(note,), help="lower `max_tokens`, or take a smaller model or dtype")
