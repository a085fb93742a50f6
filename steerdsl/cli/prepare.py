"""From a checked recipe to a plan: the model found (and fetched when it is to run), the store opened."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.cli.printing import print_diagnostics
from steerdsl.cli.recipe import Checked
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.cache import Progress, cache_root, no_progress, unwritable
from steerdsl.plan.plan import Plan, RunOptions
from steerdsl.store.results import Store

if TYPE_CHECKING:
    from steerdsl.models.catalog import Located

PLACES = ("local", "simulate", "ndif")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and the store of its results."""

    plan: Plan
    store: Store


def prepare(checked: Checked, options: RunOptions, *, fetch: bool, progress: Progress = no_progress) -> Prepared:
    """Plan a recipe. With `fetch`, the model's weights are brought here first, unless a server has them.

    Raises RecipeError: what the model, its config or the data do not allow.
    """
    progress("loading torch and transformers", 0, 0)
    from steerdsl.engine.safety import early_check
    from steerdsl.models.catalog import DEFAULT_MODEL, find, full_id, locate
    from steerdsl.models.facts import read_facts
    from steerdsl.plan.inputs import input_files
    from steerdsl.plan.notices import notices
    from steerdsl.plan.planner import make_plan

    if options.on not in PLACES:
        raise RecipeError([_place(options.on)], exit_code=2)
    spec = checked.recipe.model
    # A folder named on the command line may lie anywhere; a recipe's, only where recipes may read.
    named = options.model is not None
    model = options.model or spec.id
    revision, base = (None, None) if named else (spec.revision, checked.root)
    within = None if named else (checked.root, *options.allow)
    remote = options.on == "ndif"
    if remote:
        if fetch:  # else nothing is going to be sent
            early_check(options.host, options.insecure)
        here = find(model, revision=revision, base=base, within=within)
        # The default model's tokenizer comes with its weights.
        fetch = fetch and (here.complete if here else full_id(model) == DEFAULT_MODEL)
    digest = None
    if fetch:
        _require_cache()
        place = locate(model, revision=revision, base=base, within=within, offline=options.offline, progress=progress)
        digest = place.weights_sha256
    progress("planning", 0, 0)
    facts = read_facts(model, revision=revision, base=base, within=within, offline=options.offline)
    if digest is not None:  # a cache that cannot be written has no note of it
        facts = replace(facts, located=replace(facts.located, weights_sha256=digest))
    if remote and not facts.located.complete:
        facts = replace(facts, located=replace(facts.located, weights_sha256=_elsewhere(facts.located)))
    store = Store(cache_root() / "store", _damaged)
    plan = make_plan(checked.recipe, checked.source, checked.root, options, facts, store)
    plan = replace(plan, inputs=input_files(checked.recipe, checked.used, checked.root, options.allow))
    plan = replace(plan, notices=notices(plan))
    for warnings in (plan.notices, plan.warnings, *(data.warnings for data in plan.data.values())):
        print_diagnostics(warnings, sys.stderr)
    return Prepared(plan, store)


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


def _damaged(path: Path) -> None:
    sys.stderr.write(f"note: {path} was damaged and is made again\n")


def _place(on: str) -> Diagnostic:
    return Diagnostic("R804", f"`{on}` is no place to run", help="use --on local, --on simulate or --on ndif")
