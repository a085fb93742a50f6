"""From a checked recipe to a plan: every default resolved, every step with its key and its facts.

In: a `Recipe`, its source, the run's options, the model's facts, the store. Out: a `Plan`, or every
error that needs the model's config or the data. No weights are read and nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from steerdsl.data import Data, load, load_words
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.lang.source import Source
from steerdsl.planning import shared_batches
from steerdsl.planning.answer_data import open_data
from steerdsl.planning.describe import describe
from steerdsl.planning.inputs import faults
from steerdsl.planning.plan import Plan, PlanStep, RunOptions
from steerdsl.planning.planning import Planning
from steerdsl.planning.rubrics import with_rubric
from steerdsl.planning.task_files import pinned
from steerdsl.store.results import Store

if TYPE_CHECKING:
    from steerdsl.models.facts import ModelFacts

NO_OTHERS: Mapping[str, Any] = MappingProxyType({})


def make_plan(
    recipe: r.Recipe,
    source: Source,
    root: Path,
    options: RunOptions,
    facts: ModelFacts,
    store: Store | None,
    others: Mapping[str, Any] = NO_OTHERS,
) -> Plan:
    """Plan `recipe`, which is in folder `root`, on the model of `facts`; `others` are the models that metrics name.

    Raises RecipeError with every P7xx and D5xx diagnostic that the model's config and the data give.
    """
    from steerdsl.models.device import choose_device, choose_dtype

    dtype = str(choose_dtype(options.dtype or recipe.model.dtype, choose_device(options.device))).removeprefix("torch.")
    written = recipe
    try:
        recipe = _with_words(_overridden(recipe, options), source, root, options)
        data = _load_all(recipe, source, root, options)
    except RecipeError as error:  # of the first file; all files are reported at once
        found = [d for d in faults(written, source, root, options.allow) if d.severity == "error"]
        raise RecipeError(found or error.diagnostics, error.exit_code) from error
    plan = Plan(recipe, source, root, options, facts, dtype, options.batch_size, data, steps=(), others=others)
    planning = Planning.of(plan, store)
    steps = _steps(planning)
    return replace(plan, steps=steps, model_key=planning.model_key, warnings=tuple(planning.warnings))


def _steps(p: Planning) -> tuple[PlanStep, ...]:
    """Every step, with the batches that its answers share with those of other steps. In half precision the
    keys of the answers depend on these, so the steps that ask are described again once they are known.

    Raises RecipeError with every error of the steps.
    """
    steps: list[PlanStep] = []
    before = []
    for step in p.recipe.steps:
        before.append((dict(p.keys), dict(p.named), dict(p.fitted.by)))
        steps.append(describe(p, step, len(steps) + 1))
    if p.errors:
        raise RecipeError(p.errors)
    for start, stop in shared_batches.pools(steps):
        p.shared = shared_batches.shared(p, steps[start:stop])
        for place in range(start, stop):
            own = steps[place]
            if not shared_batches.asks(own.step):
                continue
            if p.dtype != "float32":
                p.keys, p.named, p.fitted.by = before[place]  # a sweep gives its names to other things
                own = describe(p, own.step, own.number)
            mine = {request.group: p.shared[request.group] for request in shared_batches.requested(own)}
            steps[place] = replace(own, shared=mine, facts=(*own.facts, *shared_batches.lines(p, own, mine)))
    return tuple(steps)


def without_store(plan: Plan) -> Plan:
    """The plan as one sees it who has no results: its facts say how a layer will be chosen, and not
    which one an earlier run chose. What a record and a lock keep, so that both are the same anywhere."""
    return replace(plan, steps=_steps(Planning.of(plan, None)))


def with_answers(plan: Plan, made: Data, store: Store | None) -> Plan:
    """The plan once the answers of a data set are made: the steps after them see its rows.

    Raises RecipeError with what the data do not allow, D511 for a part without an answer.
    """
    plan = replace(plan, data={**plan.data, made.spec.name: made})
    return replace(plan, steps=_steps(Planning.of(plan, store)))


def _overridden(recipe: r.Recipe, options: RunOptions) -> r.Recipe:
    """The recipe with the options that override what it says."""
    model = replace(
        recipe.model,
        id=options.model or recipe.model.id,
        revision=None if options.model else recipe.model.revision,
        dtype=options.dtype or recipe.model.dtype,
    )
    recipe = replace(recipe, model=model)
    return recipe if options.seed is None else _each(recipe, lambda step: _seeded(step, options.seed))


def _each(recipe: r.Recipe, change: Callable[[r.Step], r.Step]) -> r.Recipe:
    """The recipe with every step changed, those of a sweep's points too."""

    def changed(step: r.Step) -> r.Step:
        if isinstance(step, r.Sweep):
            points = tuple(replace(p, steps=tuple(changed(s) for s in p.steps)) for p in step.points)
            step = replace(step, points=points)
        return change(step)

    return replace(recipe, steps=tuple(changed(step) for step in recipe.steps))


def _seeded(step: r.Step, seed: int | None) -> r.Step:
    match step:
        case r.Generate() | r.AnswerData() | r.Tune():
            return replace(step, seed=seed or 0)
        case r.Evaluate():
            return replace(step, options={**step.options, "seed": seed})
    return step


def _with_words(recipe: r.Recipe, source: Source, root: Path, options: RunOptions) -> r.Recipe:
    """The recipe with lists of words, rubrics and task files read from where they are named, so that keys depend
    on what they hold."""

    def read(call: r.MetricCall, alone: bool = False) -> r.MetricCall:
        call = with_rubric(pinned(call, root, options.allow, source), root, options.allow, source, alone=alone)
        if "words" not in call.options:
            return call
        named = call.options["words"]
        found = load_words(named, root=root, allowed=options.allow, source=source, span=call.span)
        return replace(call, options={**call.options, "words": found})

    def change(step: r.Step) -> r.Step:
        match step:
            case r.Evaluate(metrics=metrics):
                return replace(step, metrics=tuple(map(read, metrics)))
            case r.AnswerData(keep=keep):
                return replace(step, keep=tuple(replace(test, metric=read(test.metric, True)) for test in keep))
        return step

    return _each(recipe, change)


def _load_all(recipe: r.Recipe, source: Source, root: Path, options: RunOptions) -> dict[str, Data]:
    """Every data set of the recipe; all their faults at once."""
    found: dict[str, Data] = {}
    errors: list[Diagnostic] = []
    there = {name: spec for name, spec in recipe.data.items() if spec.questions is None}
    for name, spec in there.items():
        try:
            found[name] = load(spec, root=root, allowed=options.allow, offline=options.offline, source=source)
        except RecipeError as error:
            errors += error.diagnostics
    if errors:
        raise RecipeError(errors)
    for step in recipe.steps:
        if isinstance(step, r.AnswerData):
            found[step.name] = open_data(step, recipe.data[step.name], found, source)
    return found
