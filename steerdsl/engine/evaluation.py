"""The steps that generate answers and score them.

In: planned `generate` and `evaluate` steps. Out: answers and scores in the run's results, and in
the store. All variants of an evaluation answer the same prompts with the same settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

from steerdsl.engine.answer_parts import read_parts
from steerdsl.engine.checks import tell_early
from steerdsl.engine.context import Run
from steerdsl.engine.generate import Answer
from steerdsl.engine.harness import documents
from steerdsl.engine.metric_inputs import Scene, Supplied, rubric_marks, supply
from steerdsl.engine.nan_guard import named
from steerdsl.engine.stored_answers import answers, recalled, steer_of
from steerdsl.forms.runs import TABLE
from steerdsl.forms.text import read_json
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.variants import REFERENCE, steered
from steerdsl.measure.answers import Answers
from steerdsl.measure.scores import Score, adjust, score, tabled, unmade
from steerdsl.measure.table import Row, Table, nested, of_nested
from steerdsl.methods.finite import NotFinite
from steerdsl.planning.controls import Variant
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.requests import Request
from steerdsl.planning.task_files import rights
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
    table = run.store.load(planned.key, lambda folder: read_table(folder, step.steer))
    if table is not None:
        for request in planned.asked:
            if not recalled(run, request):
                answers(run, request)
    else:
        rows = []
        for ref in step.data:
            mine = [request for request in planned.requests if request.ref is ref]
            rows += _score(run, step, [(request, _answers(run, request) if planned.asked else []) for request in mine])
        rows += _score_tasks(run, planned.variants, step)
        table = Table(row for own in Table(adjust(rows)).by("metric").values() for row in own)
        about = {"kind": "scores", "steer": step.steer, "data": ", ".join(ref.name for ref in step.data)}
        made = nested(table)
        run.store.put(planned.key, about, lambda fresh: write_json(fresh / "scores.json", made, sort_keys=False))
    # The points of a sweep mostly say the same.
    run.results.warnings += [line for line in unmade(table) if line not in run.results.warnings]
    file_table(run, step.name, _called(table, step))


def _called(table: Table, step: r.Evaluate) -> Table:
    """The rows under the names that the recipe has for their data sets: where an axis stands for one, the axis. The
    store knows a data set by its own name."""
    called = {ref.name: ref.label for ref in step.data}
    return Table(replace(row, data=called.get(row.data, row.data)) for row in table)


def _answers(run: Run, request: Request) -> list[Answer]:
    with named(request.variant.name, request.ref.name):
        return answers(run, request)


def read_table(folder: Path, steer: str) -> Table:
    """A table from the store, which knows a steer by what it does: here it has its name."""
    found = Table(of_nested(read_json(folder / "scores.json", TABLE, within=folder)))
    then = steered(found.names("variant"))
    return Table(replace(row, variant=steer) if row.variant == then else row for row in found)


def file_table(run: Run, name: str, table: Table) -> None:
    """Put the figures of an evaluation where checks, plots and the record look for them."""
    rows = [replace(row, evaluation=name, at=dict(run.point)) for row in table]
    run.results.scores = Table((*run.results.scores, *rows))
    if not run.point:
        tell_early(run, name)


def _score(run: Run, step: r.Evaluate, made: Sequence[tuple[Request, list[Answer]]]) -> list[Row]:
    """Every metric of every variant on one data set."""
    calls = [call for call in step.metrics if call.task is None]
    made, unread = read_parts(run, step.options["part"], made)
    base = made[0][1]
    sampled = [_texts(*of) for of in zip(made, unread, strict=True) if of[0][0].variant.name == REFERENCE]
    steered = next(row for q, row in made if q.variant.name == step.steer)
    wanted = {n for call in calls for n in find("metric", call.name).needs}
    run.progress(f"scoring the answers to {made[0][0].ref.name}", 0, 0)
    both = zip(made, unread, strict=True)
    scored = [(request, own, lost) for (request, own), lost in both if request.variant.name != REFERENCE]
    scenes = [
        Scene(run, request, own, base, steered, steer_of(run, request.variant), lost, unread[0])
        for request, own, lost in scored
    ]
    marks = rubric_marks(scenes, calls)
    scores: dict[str, list[Mapping[str, Score]]] = {}
    for (request, own, lost), supplied, marked in zip(scored, _supplied(scenes, wanted), marks, strict=True):
        given = Answers(
            prompts=[s.prompt for s in request.found],
            hypotheses=[a.text for a in own],
            references=sampled[0] if sampled else (),
            token_ids=[a.token_ids for a in own],
            ended=[a.ended for a in own],
            golds=[s.row.answer for s in request.found],
            choices=[s.row.choices for s in request.found],
            rights=rights(run.plan.data[request.ref.name], request.found) if "letters" in wanted else (),
            unread=lost,
            marks=marked,
            **supplied,
        )
        with named(request.variant.name, request.ref.name):
            scores.setdefault(request.variant.name, []).append(score(calls, given))
    return tabled(scores, step.steer, made[0][0].ref.name)


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


def _score_tasks(run: Run, variants: Sequence[Variant], step: r.Evaluate) -> list[Row]:
    """What lm-evaluation-harness finds for every variant, task by task."""
    rows = []
    for call in step.metrics:
        if call.task is None:
            continue
        scores: dict[str, list[Mapping[str, Score]]] = {}
        for variant in variants:
            with named(variant.name, call.task):
                found = documents(run, call, variant)
            made = score([call], Answers([""] * len(found.values), (), documents=found))
            scores.setdefault(variant.name, []).append(made)
        rows += tabled(scores, step.steer, call.task)
    return rows


def _texts(made: tuple[Request, list[Answer]], unread: Sequence[str | None]) -> list[list[str]]:
    """The texts of several answers a prompt, prompt by prompt; those without one are left out."""
    grouped: list[list[str]] = [[] for _ in made[0].found]
    for answer, lost in zip(made[1], unread, strict=True):
        if lost is None:
            grouped[answer.prompt].append(answer.text)
    return grouped
