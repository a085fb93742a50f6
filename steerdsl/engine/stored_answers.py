"""The answers to a request, and what a run and its store keep of them.

In: a `Request`. Out: `Answer`s from the store, where `engine.generate_shared` has put them; their lines in the run's
results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steerdsl.engine.batch_edits import Acting, acting, compile_rows
from steerdsl.engine.context import Run
from steerdsl.engine.generate import Answer, require_sound
from steerdsl.forms.kept import ANSWER
from steerdsl.models.prompts import Rendered
from steerdsl.planning.controls import Variant
from steerdsl.planning.requests import Request
from steerdsl.planning.samples import Sample
from steerdsl.planning.shared_batches import generation_key
from steerdsl.store.files import write_lines
from steerdsl.store.finished_run import read_answers
from steerdsl.store.maintenance import prune, stored
from steerdsl.store.results import Store, content_key

WITHHELD = "withheld"  # marks what the store holds of such answers until a run has come to its end


def answers(run: Run, request: Request) -> list[Answer]:
    """The answers, in the order of the prompts; their lines go to the run's results.

    Answers to a data set that is declared unsafe are withheld, unless the run keeps them
    (`--keep-unsafe`): their lines say what they hash to and nothing else.
    """
    key = request_key(run, request)
    if key in run.broken:
        raise run.broken[key]
    done = run.store.load(key, read)
    if done is None:  # removed since they were made
        done = run.asks.again(key)
    run.partial.pop(_line_place(run, request), None)
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
    lines = run.store.load(_withheld_key(request_key(run, request)), _read_lines)
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
    return run.store.get(key) is None


def withheld(run: Run, request: Request) -> bool:
    """Whether these answers may be neither printed nor kept."""
    return run.plan.data[request.ref.name].spec.unsafe and not run.plan.options.keep_unsafe


def request_key(run: Run, request: Request) -> str:
    """The content key of these answers."""
    key = generation_key(run.plan.model_key, request.what, run.shared.get(request.group))
    assert key is not None  # a run has its model's weights
    return key


def rendered(run: Run, request: Request) -> list[Rendered]:
    """The prompts of a request as the model is given them."""
    return run.render(request.instructed())


def steer_of(run: Run, variant: Variant) -> Acting | None:
    """What acts on the rows of a variant, now; None without a steer."""
    if variant.steer is None:
        return None
    return acting(run.steers[variant.steer].ops, run.values, variant.draw, run.keys)


def touches(run: Run, variant: Variant) -> list[Any]:
    """The edits of a variant that has a batch to itself; none without a steer."""
    return compile_rows([steer_of(run, variant)], run.plan.model.arch)


def about(hidden: bool, kind: str, variant: str) -> dict[str, Any]:
    """What stored answers say of themselves."""
    return {"kind": kind, "variant": variant, **({WITHHELD: True} if hidden else {})}


def keep(run: Run, key: str, made: Sequence[Answer], request: Request) -> list[Answer]:
    """Put answers into the store, in the order of the prompts. Raises NotFinite where one is broken."""
    require_sound(made)
    ordered = sorted(made, key=lambda a: (a.prompt, a.sample))

    def write(fresh: Path) -> None:
        rows = [[a.prompt, a.sample, list(a.token_ids), a.text, a.ended] for a in ordered]
        write_lines(fresh / "answers.jsonl", rows)

    return run.store.save(key, about(withheld(run, request), "answers", request.variant.title), write, read)


def read(folder: Path) -> list[Answer]:
    """The answers that `keep` wrote."""
    rows = read_answers(folder / "answers.jsonl", ANSWER, within=folder)
    return [Answer(p, s, tuple(ids), text, ended) for p, s, ids, text, ended in rows]


def _read_lines(folder: Path) -> list[Any]:
    return read_answers(folder / "lines.jsonl", within=folder)


def show(run: Run, request: Request, batch: Sequence[Answer]) -> None:
    """Hand over the lines of answers that were just made, for an interrupted run to keep."""
    lines = _lines(run, request, batch)
    run.partial.setdefault(_line_place(run, request), []).extend(lines)
    run.keep(lines)


def drop(run: Run, request: Request) -> None:
    """Forget the lines of a request that has no answers: one of them is broken."""
    run.partial.pop(_line_place(run, request), None)


def _line_place(run: Run, request: Request) -> str:
    """Names the lines of a request among those that are being made."""
    return content_key({"step": request.step, "data": request.ref.name, "what": request.what, **_at(run)})


def _withheld_key(key: str) -> str:
    return content_key({"withheld": key})


def _made_under(request: Request, sample: Sample) -> dict[str, str]:
    """The system prompt and the first words of an answer that is a row of a data set."""
    if request.ref.name != request.step:
        return {}
    systems = [said for who, said in sample.before if who == "system"]
    prefix = {} if sample.response is None else {"prefix": sample.response}
    return {**({"system": systems[0]} if systems else {}), **prefix}


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
            **({} if request.variant.draw is None else {"draw": request.variant.draw}),
            "dataset": request.ref.name,
            "split": request.ref.split,
            "row": sample.row.index,
            "sample": a.sample,
            **_made_under(request, sample),
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
