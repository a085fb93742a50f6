"""The way of a recipe on one screen: text → recipe → plan → results → run directory.

In: the text of a recipe, and with what to run it. Out: what each stage gives. Commands, Python programs and
benchmarks all come this way. Nothing is printed here; a stage imports its rooms itself, so that checking a recipe
loads no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.lang.check import Checked, check_source
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.lang.reading import reader
from steerdsl.lang.source import Source

if TYPE_CHECKING:
    from steerdsl.models.cache import Progress
    from steerdsl.planning.plan import Plan, RunOptions
    from steerdsl.running.outcome import Outcome
    from steerdsl.running.progress import StepProgress
    from steerdsl.store.directory import RunDirectory
    from steerdsl.store.results import Store

BACKENDS = ("local", "simulate", "ndif")


def unsaid(text: str) -> None:
    """Notes that nobody reads."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and the store that has its results or will."""

    plan: Plan
    store: Store

    @property
    def warnings(self) -> list[Sequence[Diagnostic]]:
        """What is said against the model's files, the scores that the recipe asks for, and each of its data sets."""
        return [self.plan.notices, self.plan.warnings, *(data.warnings for data in self.plan.data.values())]


def text_to_recipe(
    source: Source, folder: Path, params: Mapping[str, str] | None = None, allow: Sequence[Path] = ()
) -> tuple[Checked | None, list[Diagnostic]]:
    """Check a recipe that is in `folder`: the recipe, None when it has an error, and every diagnostic of its text.
    `params` are values of its params as one writes them in a recipe, `allow` further folders that it may read."""
    used: list[str] = []
    read = reader(folder, allow)

    def noted(path: str) -> Source:
        used.append(path)
        return read(path)

    folders = [str(place.resolve()) for place in allow]
    recipe, report = check_source(source, overrides=params or {}, read=noted, folders=folders)
    checked = None if recipe is None else Checked(recipe, source, folder.resolve(), tuple(used))
    return checked, list(report.found)


def file_mistakes(checked: Checked, allow: Sequence[Path] = ()) -> list[Diagnostic]:
    """What is wrong with the files that a recipe reads, as far as this machine has them."""
    from steerdsl.planning.inputs import faults

    return faults(checked.recipe, checked.source, checked.root, tuple(allow))


def recipe_to_plan(
    checked: Checked,
    options: RunOptions,
    *,
    fetch: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], None] = unsaid,
) -> Prepared:
    """Plan a recipe: the model found, every default resolved. With `fetch`, the model's weights are brought here
    first, unless a server has them. `note` gets a line for a stored result that cannot be read and is made again.

    Raises RecipeError: what the model, its config or the data do not allow.
    """
    from steerdsl.models.cache import no_progress

    progress = progress or no_progress
    progress("loading torch and transformers", 0, 0)
    if fetch and options.on == "local":
        _read_ahead(checked, options)
    from steerdsl.engine.safety import early_check
    from steerdsl.planning.prepare import prepare

    if options.on not in BACKENDS:
        help = "use --on local, --on simulate or --on ndif"
        raise RecipeError([Diagnostic("R804", f"`{options.on}` is not a place to run", help=help)], Exit.USAGE)
    if options.on == "ndif" and fetch:  # else nothing is going to be sent
        early_check(options.host, options.insecure)
    store = _store(note)
    recipe, source, root = checked.recipe, checked.source, checked.root
    return Prepared(prepare(recipe, source, root, options, store, progress, used=checked.used, fetch=fetch), store)


def _store(note: Callable[[str], None]) -> Store:
    from steerdsl.models.cache import cache_root
    from steerdsl.store.results import Store

    return Store(cache_root() / "store", lambda path: note(f"{path} was damaged and is made again"))


def _read_ahead(checked: Checked, options: RunOptions) -> None:
    """Begin to read the model's weights, where they are here: loading the libraries takes seconds."""
    from steerdsl.models.catalog import find
    from steerdsl.models.weights import read_ahead
    from steerdsl.planning.model_place import model_place

    model, where = model_place(checked.recipe, checked.root, options)
    if (located := find(model, **where)) is not None:
        read_ahead(located.path)


def plan_to_run(
    prepared: Prepared,
    name: str,
    *,
    out: Path | None = None,
    force: bool = False,
    progress: StepProgress | None = None,
    started: float | None = None,
    last: bool = False,
) -> Outcome:
    """Run a plan into the run directory `out`, or into one in `runs` of this `name` and the time; `force` replaces
    an older run, `last` says that the process ends with this one. The directory is finished however the run ends;
    `Outcome.require_whole` raises what ended it early.

    Raises RecipeError where there is no judge that the recipe needs, or the run directory cannot be made.
    """
    from steerdsl.engine.judge_client import require_judge
    from steerdsl.running.execute import execute
    from steerdsl.running.progress import Quiet

    require_judge(prepared.plan)
    directory = _directory(name, out, force, started)
    return execute(prepared.plan, prepared.store, directory, progress or Quiet(), last=last)


def _directory(name: str, out: Path | None, force: bool, started: float | None) -> RunDirectory:
    from steerdsl.store.directory import RunDirectory

    directory = RunDirectory.by_time(name) if out is None else RunDirectory.create(out, force)
    directory.started = started or time.time()
    return directory


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs a recipe: what is said goes to `warn` (diagnostics) and `note` (a line), and `hold` gets the plan before
    it runs, to hold it to the lock of the recipe: it returns whether nothing differs."""

    warn: Callable[[Sequence[Diagnostic]], None]
    note: Callable[[str], None]
    hold: Callable[[Plan], bool]


def recipe_to_run(
    checked: Checked,
    options: RunOptions,
    name: str,
    caller: Caller,
    *,
    lock: Path | None = None,
    locked: bool = False,
    out: Path | None = None,
    force: bool = False,
    progress: StepProgress | None = None,
    started: float | None = None,
    last: bool = False,
) -> Outcome:
    """Run a recipe: plan it and run the plan, or take the whole run from the store if nothing that it depends on has
    changed, without loading torch. `lock` is the lock file of the recipe, `locked` says that no pin may differ from
    it; the other arguments are those of `recipe_to_plan` and `plan_to_run`."""
    from steerdsl.running import reuse
    from steerdsl.running.progress import Quiet
    from steerdsl.store.results import file_sha256

    held = [locked, file_sha256(lock) if lock is not None and lock.is_file() else None]
    taken = reuse.find(_store(caller.note), checked, options, held, caller.warn)
    if taken is not None:
        return reuse.finish(taken, _directory(name, out, force, started), checked.root, progress or Quiet())
    prepared = recipe_to_plan(checked, options, fetch=True, progress=progress, note=caller.note)
    for warnings in prepared.warnings:
        caller.warn(warnings)
    as_locked = caller.hold(prepared.plan)
    outcome = plan_to_run(prepared, name, out=out, force=force, progress=progress, started=started, last=last)
    if as_locked:
        reuse.keep(prepared.store, checked, prepared.plan, outcome, held, caller.note)
    return outcome
