"""Ask the model: the answers of one variant to some prompts, from the store or made now.

In: a `Request`. Out: `Answer`s; their lines in the run's results. Each batch is kept in the store as
it is made, so that a run that was stopped goes on with the batch that it had not finished.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from steerdsl.engine.answers import Answer, Sampling, generate
from steerdsl.engine.context import Run
from steerdsl.engine.meter import Meter
from steerdsl.lang import recipe as r
from steerdsl.models.prompts import Rendered, require_room
from steerdsl.plan.controls import Variant
from steerdsl.plan.fusing import generation_key
from steerdsl.plan.samples import Sample, samples_key
from steerdsl.store.files import read_lines, write_lines
from steerdsl.store.results import Store, content_key
from steerdsl.store.upkeep import prune, stored

WITHHELD = "withheld"  # marks what the store holds of such answers until a run has come to its end


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: the answers of a variant to the samples of a data set, for the step `step`."""

    step: str
    ref: r.DataRef
    found: tuple[Sample, ...]
    variant: Variant
    sampling: Sampling

    def instructed(self) -> tuple[Sample, ...]:
        """The samples as they are asked: with the variant's instruction before each prompt."""
        before = self.variant.instruction
        if before is None:
            return self.found
        return tuple(replace(s, prompt=f"{before}\n\n{s.prompt}") for s in self.found)


def answers(run: Run, request: Request) -> list[Answer]:
    """The answers, in the order of the prompts; their lines go to the run's results.

    Answers to a data set that is declared unsafe are withheld, unless the run keeps them
    (`--keep-unsafe`): their lines say what they hash to and nothing else.
    """
    key = request_key(run, request)
    done = run.store.load(key, read)
    if done is None:
        made: list[Answer] = []
        for batch in _batches(run, key, request):
            made += batch
            show(run, request, batch)
        done = keep(run, key, made, request)
    run.partial.clear()
    lines = _lines(run, request, done)
    run.results.rows += lines
    if withheld(run, request):
        run.store.put(
            _withheld_key(key), {"kind": "answers, withheld"}, lambda f: write_lines(f / "lines.jsonl", lines)
        )
    return done


def forget(store: Store) -> None:
    """Remove every withheld answer from the store, those that stopped runs have left there as well."""
    prune([s for s in stored(store.root) if s.about.get(WITHHELD)])


def recalled(run: Run, request: Request) -> bool:
    """Whether these answers are withheld and were made before; then their lines are in the results."""
    if not withheld(run, request):
        return False
    lines = run.store.load(_withheld_key(request_key(run, request)), lambda f: read_lines(f / "lines.jsonl"))
    if lines is None:
        return False
    run.results.rows += [{**line, "step": request.step, **_at(run)} for line in lines]
    return True


def missing(run: Run, request: Request, scored: bool) -> bool:
    """Whether these answers must be made now. Withheld ones that were `scored` have left their lines,
    and are not needed again."""
    key = request_key(run, request)
    if scored and withheld(run, request) and run.store.has(_withheld_key(key)):
        return False
    return run.store.load(key, read) is None


def withheld(run: Run, request: Request) -> bool:
    """Whether these answers may be neither printed nor kept."""
    return run.plan.data[request.ref.name].spec.unsafe and not run.plan.options.keep_unsafe


def request_key(run: Run, request: Request) -> str:
    """The content key of these answers."""
    prompts = samples_key(request.instructed())
    steer = request.variant.steer_key(run.keys)
    settings = asdict(request.sampling)
    key = generation_key(run.plan.model_key, prompts, steer, settings, run.plan.batch_size, run.together)
    assert key is not None  # a run has its model's weights
    return key


def batch_key(key: str, number: int) -> str:
    """Where one batch of the answers under `key` is kept."""
    return content_key({"answers": key, "batch": number})


def rendered(run: Run, request: Request) -> list[Rendered]:
    """The prompts of a request as the model is given them."""
    return run.render(request.instructed())


def touches(run: Run, variant: Variant) -> list[Any]:
    """The edits of a variant; none without a steer."""
    from steerdsl.engine.program import compile_steer

    if variant.steer is None:
        return []
    return compile_steer(run.steers[variant.steer].ops, run.plan.model.arch, run.values, variant.draw)


def about(run: Run, request: Request, kind: str, variant: str) -> dict[str, Any]:
    """What stored answers say of themselves."""
    return {"kind": kind, "variant": variant, **({WITHHELD: True} if withheld(run, request) else {})}


def keep(run: Run, key: str, made: Sequence[Answer], request: Request, kind: str = "answers") -> list[Answer]:
    """Put answers into the store, in the order of the prompts."""
    ordered = sorted(made, key=lambda a: (a.prompt, a.sample))

    def write(fresh: Path) -> None:
        rows = [[a.prompt, a.sample, list(a.token_ids), a.text, a.ended] for a in ordered]
        write_lines(fresh / "answers.jsonl", rows)

    return run.store.save(key, about(run, request, kind, request.variant.name), write, read)


def read(folder: Path) -> list[Answer]:
    """The answers that `keep` wrote."""
    rows = read_lines(folder / "answers.jsonl")
    return [Answer(p, s, tuple(ids), text, ended) for p, s, ids, text, ended in rows]


def _batches(run: Run, key: str, request: Request) -> Iterator[list[Answer]]:
    """The answers batch by batch, those that an earlier run has made first."""
    prompts = rendered(run, request)
    require_room(request.ref.name, prompts, run.plan.model.arch.max_positions, request.sampling.max_tokens)

    def known(number: int) -> list[Answer] | None:
        return run.store.load(batch_key(key, number), read)

    if known(0) is not None:
        run.progress("going on with answers that an earlier run has made", 0, 0)
    edits, asked = touches(run, request.variant), request.sampling
    text = f"answers of {request.variant.name} to {request.ref.name}"
    session = run.session  # which says so while it is opened
    meter = Meter(run.progress, text, len(prompts) * asked.n, asked.max_tokens)
    for number, batch in enumerate(generate(session, prompts, edits, asked, run.plan.batch_size, known, meter)):
        if not run.store.has(batch_key(key, number)):
            keep(run, batch_key(key, number), batch, request, "batch")
        yield batch


def show(run: Run, request: Request, batch: Sequence[Answer]) -> None:
    """Hand over the lines of answers that were just made, for an interrupted run to keep."""
    lines = _lines(run, request, batch)
    run.partial += lines
    run.keep(lines)


def _withheld_key(key: str) -> str:
    return content_key({"withheld": key})


def _at(run: Run) -> dict[str, Any]:
    return {"point": dict(run.point)} if run.point else {}


def _lines(run: Run, request: Request, made: Sequence[Answer]) -> list[dict[str, Any]]:
    """Lines of generations.jsonl."""
    asked = request.instructed()
    hidden = withheld(run, request)
    lines = []
    for a in made:
        sample = request.found[a.prompt]
        line: dict[str, Any] = {
            "step": request.step,
            "variant": request.variant.name,
            "dataset": request.ref.name,
            "split": request.ref.split,
            "row": sample.row.index,
            "sample": a.sample,
            "prompt": sample.prompt,
            "rendered_sha256": run.render([asked[a.prompt]])[0].sha256,
            "token_ids": [] if hidden else list(a.token_ids),
            "text": None if hidden else a.text,
            "ended": a.ended,
            **_at(run),
        }
        if hidden:
            line |= {"withheld": True, "text_sha256": hashlib.sha256(a.text.encode()).hexdigest()}
        lines.append(line)
    return lines
