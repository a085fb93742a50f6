"""The steps that generate answers and score them.

In: planned `generate` and `evaluate` steps. Out: answers and scores in the run's results, and in
the store. All variants of an evaluation answer the same prompts with the same settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from steerdsl.engine.answers import Answer
from steerdsl.engine.asking import answers, recalled, steer_of
from steerdsl.engine.claims import tell_early
from steerdsl.engine.context import Run
from steerdsl.engine.finite import named
from steerdsl.engine.harness import documents
from steerdsl.engine.supply import Scene, Supplied, supply
from steerdsl.forms.runs import TABLE
from steerdsl.forms.text import read_json
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.variants import REFERENCE, steered
from steerdsl.measure.answers import Answers
from steerdsl.measure.scores import Score, adjust, score, tabled, unmade
from steerdsl.methods.finite import NotFinite
from steerdsl.plan.controls import Variant
from steerdsl.plan.plan import PlanStep
from steerdsl.plan.requests import Request
from steerdsl.plan.tasks import rights
from steerdsl.registry import Need, find
from steerdsl.store.files import write_json


def generate_step(run: Run, planned: PlanStep) -> None:
    """Answers of one variant to one data set."""
    for request in planned.asked:
        if not recalled(run, request):
            answers(run, request)


def evaluate_step(run: Run, planned: PlanStep) -> None:
    """The answers of every variant to every data set, and every metric on all of them."""
    step = planned.step
    assert isinstance(step, r.Evaluate) and planned.key is not None
    table = run.store.load(planned.key, lambda folder: _read(folder, step.steer))
    if table is not None:
        for request in planned.asked:
            if not recalled(run, request):
                answers(run, request)
    else:
        table = {}
        for ref in step.data:
            mine = [request for request in planned.requests if request.ref is ref]
            _score(run, step, [(request, _answers(run, request) if planned.asked else []) for request in mine], table)
        _score_tasks(run, planned.variants, step, table)
        adjust([table])
        about = {"kind": "scores", "steer": step.steer, "data": ", ".join(ref.name for ref in step.data)}
        run.store.put(planned.key, about, lambda fresh: write_json(fresh / "scores.json", table, sort_keys=False))
    # The points of a sweep mostly say the same.
    run.results.warnings += [line for line in unmade(table) if line not in run.results.warnings]
    _file(run, step.name, table)


def _answers(run: Run, request: Request) -> list[Answer]:
    with named(request.variant.name, request.ref.name):
        return answers(run, request)


def _read(folder: Path, steer: str) -> dict[str, Any]:
    """A table from the store, which knows a steer by what it does: here it has its name."""
    table: dict[str, Any] = read_json(folder / "scores.json", TABLE, within=folder)
    for by_data in table.values():
        for data, by_variant in by_data.items():
            then = steered(by_variant)
            by_data[data] = {steer if variant == then else variant: f for variant, f in by_variant.items()}
    return table


def _file(run: Run, name: str, table: dict[str, Any]) -> None:
    """Put a table of scores where checks, plots and the record look for it."""
    if not run.point:
        run.results.scores[name] = table
        tell_early(run, name)
        return
    entry = run.results.scores.setdefault(name, {"points": []})
    entry["points"].append({"at": dict(run.point), "scores": table, "failed": None})


def _score(
    run: Run, step: r.Evaluate, made: Sequence[tuple[Request, list[Answer]]], table: dict[str, dict[str, Any]]
) -> None:
    """Put every metric of every variant on one data set into the table."""
    calls, base = [call for call in step.metrics if call.task is None], made[0][1]
    sampled = [row for q, row in made if q.variant.name == REFERENCE]
    steered = next(row for q, row in made if q.variant.name == step.steer)
    wanted = {n for call in calls for n in find("metric", call.name).needs}
    run.progress(f"scoring the answers to {made[0][0].ref.name}", 0, 0)
    scored = [(request, own) for request, own in made if request.variant.name != REFERENCE]
    scenes = [Scene(run, request, own, base, steered, steer_of(run, request.variant)) for request, own in scored]
    scores: dict[str, list[Mapping[str, Score]]] = {}
    for (request, own), supplied in zip(scored, _supplied(scenes, wanted), strict=True):
        given = Answers(
            prompts=[s.prompt for s in request.found],
            hypotheses=[a.text for a in own],
            references=_texts(sampled[0], len(own)) if sampled else (),
            token_ids=[a.token_ids for a in own],
            ended=[a.ended for a in own],
            golds=[s.row.answer for s in request.found],
            choices=[s.row.choices for s in request.found],
            rights=rights(run.plan.data[request.ref.name], request.found) if "letters" in wanted else (),
            **supplied,
        )
        with named(request.variant.name, request.ref.name):
            scores.setdefault(request.variant.name, []).append(score(calls, given))
    for label, figures in tabled(scores, step.steer).items():
        table.setdefault(label, {})[made[0][0].ref.name] = figures


def _supplied(scenes: Sequence[Scene], needs: AbstractSet[Need]) -> Supplied:
    """What metrics read, for all scenes at once. Where that fails, it is read again scene by scene, so that
    the error says which variant it is."""
    try:
        return supply(scenes, needs)
    except (NotFinite, RecipeError) as error:
        if isinstance(error, RecipeError) and all(d.code != "M611" for d in error.diagnostics):
            raise
        for scene in scenes:
            with named(scene.request.variant.name, scene.request.ref.name):
                supply([scene], needs)
        raise


def _score_tasks(run: Run, variants: Sequence[Variant], step: r.Evaluate, table: dict[str, dict[str, Any]]) -> None:
    """Put what lm-evaluation-harness finds for every variant into the table, task by task."""
    for call in step.metrics:
        if call.task is None:
            continue
        scores: dict[str, list[Mapping[str, Score]]] = {}
        for variant in variants:
            with named(variant.name, call.task):
                found = documents(run, call, variant)
            made = score([call], Answers([""] * len(found.values), (), documents=found))
            scores.setdefault(variant.name, []).append(made)
        for label, figures in tabled(scores, step.steer).items():
            table.setdefault(label, {})[call.task] = figures


def _texts(sampled: Sequence[Answer], count: int) -> list[list[str]]:
    """The texts of several answers a prompt, prompt by prompt."""
    grouped: list[list[str]] = [[] for _ in range(count)]
    for answer in sampled:
        grouped[answer.prompt].append(answer.text)
    return grouped
