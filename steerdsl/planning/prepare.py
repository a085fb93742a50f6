"""From a checked recipe to its plan on this machine: the model found, or fetched when it is to run.

In: a recipe, its source, the options of the run, a store. Out: a `Plan` with its inputs hashed and its
notices, or a RecipeError that says what the model, its config or the data do not allow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from steerdsl.lang.recipe import Recipe
from steerdsl.lang.source import Source
from steerdsl.models.cache import Progress, cache_root, unwritable
from steerdsl.models.catalog import DEFAULT_MODEL, Located, find, full_id, locate
from steerdsl.models.facts import ModelFacts, read_facts
from steerdsl.planning.inputs import input_files
from steerdsl.planning.model_place import model_place
from steerdsl.planning.notices import notices
from steerdsl.planning.other_models import other_models
from steerdsl.planning.plan import Plan, RunOptions
from steerdsl.planning.planner import make_plan
from steerdsl.store.results import Store


def prepare(
    recipe: Recipe,
    source: Source,
    root: Path,
    options: RunOptions,
    store: Store,
    progress: Progress,
    *,
    used: Iterable[str] = (),
    fetch: bool = False,
) -> Plan:
    """Plan a recipe in folder `root` and uses the files `used`. With `fetch`, the model's weights are
    brought here first, unless a server has them.

    Raises RecipeError: what the model, its config or the data do not allow.
    """
    facts = _facts(recipe, root, options, progress, fetch)
    others = other_models(recipe, source, root, options, progress, fetch)
    plan = make_plan(recipe, source, root, options, facts, store, others)
    plan = replace(plan, inputs=input_files(recipe, used, root, options.allow))
    return replace(plan, notices=notices(plan))


def _facts(recipe: Recipe, root: Path, options: RunOptions, progress: Progress, fetch: bool) -> ModelFacts:
    """What is known of the model without its weights; with `fetch`, these are brought here."""
    model, where = model_place(recipe, root, options)
    remote = options.on == "ndif"
    if remote:
        here = find(model, **where)
        # The default model's tokenizer comes with its weights.
        fetch = fetch and (here.complete if here else full_id(model) == DEFAULT_MODEL)
    digest = None
    if fetch:
        _require_cache()
        place = locate(model, **where, offline=options.offline, progress=progress)
        digest = place.weights_sha256
    progress("planning", 0, 0)
    facts = read_facts(model, **where, offline=options.offline)
    if digest is not None:  # a cache that cannot be written has no note of it
        facts = replace(facts, located=replace(facts.located, weights_sha256=digest))
    if remote and not facts.located.complete:
        facts = replace(facts, located=replace(facts.located, weights_sha256=_elsewhere(facts.located)))
    return facts


def _require_cache() -> None:
    """Raise RecipeError M616 before anything is computed whose result could not be kept."""
    store = cache_root() / "store"
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, always=True) or error from error


def _elsewhere(located: Located) -> str:
    """What stands for the hash of weights that only servers have: results are then kept under the
    model's id and revision, and not under a host."""
    return f"on a server: {located.id}@{located.revision or 'main'}"
