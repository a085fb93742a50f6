"""The steps that generate answers and score them.

In: planned `generate` and `evaluate` steps. Out: answers and scores in the run's results, and in
the store. Baseline and steered answers to the same prompts share their settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from steerdsl.engine.answers import Answer, Sampling, generate
from steerdsl.engine.context import Run
from steerdsl.lang import recipe as r
from steerdsl.measure.answers import Answers
from steerdsl.measure.scores import score
from steerdsl.models.prompts import Renderer, require_room
from steerdsl.plan.describe import evaluation_settings, generation_key
from steerdsl.plan.plan import PlanStep
from steerdsl.plan.samples import Sample, samples, samples_key
from steerdsl.registry import find
from steerdsl.store.files import read_lines, write_json, write_lines
from steerdsl.store.results import content_key

BASELINE = "baseline"


def generate_step(run: Run, planned: PlanStep) -> None:
    """Answers of one variant to one data set."""
    step = planned.step
    assert isinstance(step, r.Generate)
    sampling = Sampling(step.max_tokens, step.temperature, step.n, step.seed)
    found = samples(run.plan.data, step.data, run.plan.source)
    answers(run, step.name, step.data, found, step.steer, sampling)


def answers(
    run: Run, name: str, ref: r.DataRef, found: Sequence[Sample], steer: str | None, sampling: Sampling
) -> list[Answer]:
    """The answers of a steer (None: unsteered) to some samples, made now or taken from the store."""
    steer_key = run.keys[steer] if steer else None
    settings = asdict(sampling)
    key = generation_key(run.plan.model_key, samples_key(found), steer_key, settings, run.plan.batch_size)
    assert key is not None
    variant = steer or BASELINE
    folder = run.store.get(key)
    if folder is None:
        made: list[Answer] = []
        for batch in _batches(run, key, ref, found, steer, sampling):
            made += batch
            lines = [_line(run, name, ref, variant, found, a) for a in batch]
            run.partial += lines
            run.keep(lines)
            run.progress(f"answers of {variant} to {ref.name}", len(made), len(found) * sampling.n)
        made.sort(key=lambda a: (a.prompt, a.sample))
        folder = _put(run, key, made, variant)
    done = _read(folder)
    run.partial.clear()
    run.results.rows += [_line(run, name, ref, variant, found, a) for a in done]
    return done


def _batches(
    run: Run, key: str, ref: r.DataRef, found: Sequence[Sample], steer: str | None, sampling: Sampling
) -> Iterator[list[Answer]]:
    """The answers batch by batch. Each is kept in the store as it is made, so that a run that was
    stopped goes on with the batch that it had not finished."""
    prompts = run.render(found)
    require_room(ref.name, prompts, run.plan.model.arch.max_positions, sampling.max_tokens)

    def known(number: int) -> list[Answer] | None:
        folder = run.store.get(content_key({"answers": key, "batch": number}))
        return None if folder is None else _read(folder)

    if known(0) is not None:
        run.progress("going on with answers that an earlier run has made", 0, 0)
    made = generate(run.session, prompts, touches(run, steer), sampling, run.plan.batch_size, known)
    for number, batch in enumerate(made):
        _put(run, content_key({"answers": key, "batch": number}), batch, steer or BASELINE)
        yield batch


def _put(run: Run, key: str, made: Sequence[Answer], variant: str) -> Path:
    def write(fresh: Path) -> None:
        rows = [[a.prompt, a.sample, list(a.token_ids), a.text, a.ended] for a in made]
        write_lines(fresh / "answers.jsonl", rows)

    return run.store.put(key, {"kind": "answers", "variant": variant}, write)


def _read(folder: Path) -> list[Answer]:
    rows = read_lines(folder / "answers.jsonl")
    return [Answer(p, s, tuple(ids), text, ended) for p, s, ids, text, ended in rows]


def touches(run: Run, steer: str | None) -> list[Any]:
    """The edits of a steer; none for the baseline."""
    from steerdsl.engine.program import compile_steer

    if steer is None:
        return []
    return compile_steer(run.steers[steer].ops, run.plan.model.arch, run.values)


def _line(run: Run, name: str, ref: r.DataRef, variant: str, found: Sequence[Sample], a: Answer) -> dict[str, Any]:
    """A line of generations.jsonl."""
    sample = found[a.prompt]
    line = {
        "step": name,
        "variant": variant,
        "dataset": ref.name,
        "split": ref.split,
        "row": sample.row.index,
        "sample": a.sample,
        "prompt": sample.prompt,
        "rendered_sha256": run.renderer.render(sample.prompt, sample.response).sha256,
        "token_ids": list(a.token_ids),
        "text": a.text,
        "ended": a.ended,
    }
    return {**line, "point": dict(run.point)} if run.point else line


def evaluate_step(run: Run, planned: PlanStep) -> None:
    """Baseline and steered answers on every data set, and every metric on both."""
    step = planned.step
    assert isinstance(step, r.Evaluate)
    settings = Sampling(**evaluation_settings(step))
    table: dict[str, dict[str, Any]] = {}
    stored = run.store.get(planned.key) if planned.key is not None else None
    for ref in step.data:
        found = samples(run.plan.data, ref, run.plan.source)
        variants = {BASELINE: None, step.steer: step.steer}
        both = {v: answers(run, step.name, ref, found, steer, settings) for v, steer in variants.items()}
        if stored is None:
            _score(run, step, ref, found, both, table)
    if stored is not None:
        table = json.loads((stored / "scores.json").read_text())
    elif planned.key is not None:
        run.store.put(planned.key, {"kind": "scores"}, lambda fresh: write_json(fresh / "scores.json", table))
    _file(run, step.name, table)


def _file(run: Run, name: str, table: dict[str, Any]) -> None:
    """Put a table of scores where checks, plots and the record look for it."""
    if not run.point:
        run.results.scores[name] = table
        return
    entry = run.results.scores.setdefault(name, {"points": []})
    entry["points"].append({"at": dict(run.point), "scores": table})


def _score(
    run: Run,
    step: r.Evaluate,
    ref: r.DataRef,
    found: Sequence[Sample],
    both: Mapping[str, list[Answer]],
    table: dict[str, dict[str, Any]],
) -> None:
    references = _by_prompt(both[BASELINE], len(found))
    needs = {n for call in step.metrics for n in find("metric", call.name).needs}
    for variant, made in both.items():
        steer = None if variant == BASELINE else step.steer
        first = [row[0] for row in _by_prompt(made, len(found))]
        given = Answers(
            prompts=[s.prompt for s in found],
            hypotheses=[a.text for a in first],
            references=[[a.text for a in row] for row in references],
            token_ids=[a.token_ids for a in first],
            ended=[a.ended for a in first],
            golds=[s.row.answer for s in found],
            choices=[s.row.choices for s in found],
            logprobs=_logprobs(run, steer, found, [row[0] for row in references], needs),
        )
        run.progress(f"scoring {variant} on {ref.name}", 0, 0)
        for label, result in score(step.metrics, given).items():
            table.setdefault(label, {}).setdefault(ref.name, {})[variant] = result.to_json()


def _by_prompt(made: Sequence[Answer], count: int) -> list[list[Answer]]:
    grouped: list[list[Answer]] = [[] for _ in range(count)]
    for answer in made:
        grouped[answer.prompt].append(answer)
    return grouped


def _logprobs(
    run: Run, steer: str | None, found: Sequence[Sample], base: Sequence[Answer], needs: set[str]
) -> dict[str, Any]:
    """What metrics of likelihood read, made while they read it. Answers are the unsteered ones."""
    from steerdsl.engine.likelihood import read_texts

    if "logprobs" not in needs:
        return {}
    edits = touches(run, steer)
    size = max(1, run.plan.batch_size // 4)  # whole distributions are kept, and they are large
    prompts = run.render(found)
    answered = [_continued(p, a) for p, a in zip(prompts, base, strict=True)]
    starts = [len(p.ids) for p in prompts]

    def read(with_edits: Sequence[Any], logits: bool) -> Iterator[Any]:
        for reading in read_texts(run.session, answered, starts, with_edits, size, keep_logits=logits):
            yield reading.logits if logits else reading.logprobs.numpy()

    made: dict[str, Any] = {}
    if "answer" in needs:
        made |= {"answer": read(edits, False), "answer_base": read((), False)}
    if "next" in needs:
        made |= {"next": read(edits, True), "next_base": read((), True)}
    if "text" in needs:
        # Every metric that reads a text reads it anew, so the readings are kept.
        made["text"] = list(_texts(run, found, edits, size))
    return made


def _continued(prompt: Any, answer: Answer) -> Any:
    return replace(prompt, ids=(*prompt.ids, *answer.token_ids))


def _texts(run: Run, found: Sequence[Sample], edits: Sequence[Any], size: int) -> Iterator[Any]:
    """log p of each token of the data set's own texts, read without a template."""
    from steerdsl.engine.likelihood import read_texts

    plain = Renderer(run.plan.model.tokenizer, template="none")
    texts = [plain.render(s.prompt) for s in found]
    for reading in read_texts(run.session, texts, [1] * len(texts), edits, size):
        yield reading.logprobs.numpy()
