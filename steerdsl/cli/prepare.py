"""From a checked recipe to a plan: the model found (and fetched when it is to run), the store opened."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from steerdsl.cli.printing import print_diagnostics
from steerdsl.cli.recipe import Checked
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.cache import Progress, cache_root, no_progress
from steerdsl.plan.plan import Plan, RunOptions
from steerdsl.store.results import Store

PLACES = ("local", "simulate")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and the store of its results."""

    plan: Plan
    store: Store


def prepare(checked: Checked, options: RunOptions, *, fetch: bool, progress: Progress = no_progress) -> Prepared:
    """Plan a recipe. With `fetch`, the model's weights are brought here first.

    Raises RecipeError: what the model, its config or the data do not allow.
    """
    from steerdsl.models.catalog import locate
    from steerdsl.models.facts import read_facts
    from steerdsl.plan.planner import make_plan

    if options.on not in PLACES:
        raise RecipeError([_place(options.on)], exit_code=2)
    spec = checked.recipe.model
    # A folder named on the command line may lie anywhere; a recipe's, only where recipes may read.
    named = options.model is not None
    model = options.model or spec.id
    revision, base = (None, None) if named else (spec.revision, checked.root)
    within = None if named else (checked.root, *options.allow)
    if fetch:
        locate(model, revision=revision, base=base, within=within, offline=options.offline, progress=progress)
    facts = read_facts(model, revision=revision, base=base, within=within, offline=options.offline)
    store = Store(cache_root() / "store", _damaged)
    plan = make_plan(checked.recipe, checked.source, checked.root, options, facts, store)
    for data in plan.data.values():
        print_diagnostics(data.warnings, sys.stderr)
    return Prepared(plan, store)


def _damaged(path: Path) -> None:
    sys.stderr.write(f"note: {path} was damaged and is made again\n")


def _place(on: str) -> Diagnostic:
    if on == "ndif":
        title = "this version cannot run on an NDIF server"
        return Diagnostic("R804", title, help="use --on simulate, which rehearses the remote path on this machine")
    return Diagnostic("R804", f"`{on}` is no place to run", help="use --on local or --on simulate")
