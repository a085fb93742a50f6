"""Take a whole run from the store if nothing that it depends on has changed, and keep a new one for the next time.

In: a checked recipe and the options of a run. Out: the kept run in a new run directory, or None when the
recipe has to be run. No tensor library is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.data import Data, load
from steerdsl.forms.files import file_state
from steerdsl.lang import recipe as r
from steerdsl.lang.check import Checked
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.lang.reads import calls, needs
from steerdsl.running import kept_run
from steerdsl.running.progress import STORED
from steerdsl.store.directory import RunDirectory
from steerdsl.store.finished_run import FINISHED
from steerdsl.store.provenance import PARTS, Makers
from steerdsl.store.results import Store, content_key

if TYPE_CHECKING:
    from steerdsl.models.catalog import Located
    from steerdsl.planning.plan import Plan, RunOptions
    from steerdsl.running.outcome import Outcome
    from steerdsl.running.progress import StepProgress

VERSION = 1
# What a judge answers is not in the store, a model of a metric is not hashed here, and a harness has its own versions.
ELSEWHERE = ("judge", "marks", "classes", "harness")


def run_key(
    checked: Checked,
    options: RunOptions,
    located: Located,
    data: Mapping[str, Data],
    inputs: Mapping[str, str],
    lock: Any,
) -> str | None:
    """Hash of all that a run directory depends on; None for a run that is not kept. `lock` says to which lock the
    run is held, and how."""
    from steerdsl.running.record import needed, versions
    from steerdsl.store.surroundings import code_sha256, surroundings

    if options.on != "local" or located.weights_sha256 is None or _asks_elsewhere(checked.recipe):
        return None
    if any(found.spec.unsafe for found in data.values()):  # a run forgets what was answered to these
        return None
    return content_key(
        {
            "whole run": VERSION,
            "code": code_sha256(),
            "packages": {**versions(), **needed(checked.recipe)},
            "surroundings": surroundings(),
            "recipe": [checked.source.name, checked.source.text],
            "options": {**asdict(options), "allow": [str(place) for place in options.allow]},
            "inputs": dict(inputs),
            "data": {name: found.sha256 for name, found in data.items() if not found.spec.questions},
            "model": [located.id, located.revision, located.weights_sha256, located.source, _state(located.path)],
            "adapter": None if located.adapter is None else located.adapter.sha256,
            "held": lock,
        }
    )


def find(
    store: Store, checked: Checked, options: RunOptions, lock: Any, warn: Callable[[Sequence[Diagnostic]], None]
) -> kept_run.Taken | None:
    """The kept run, every result behind it verified; None when something has changed or is missing. `warn` gets what
    the run said before it began."""
    from steerdsl.models.catalog import find as find_model
    from steerdsl.planning.inputs import input_files
    from steerdsl.planning.model_place import model_place

    if options.on != "local":
        return None
    model, where = model_place(checked.recipe, checked.root, options)
    try:
        located = find_model(model, **where)
        if located is None or located.weights_sha256 is None:
            return None
        data = {name: _load(spec, checked, options) for name, spec in checked.recipe.data.items() if not spec.questions}
        inputs = input_files(checked.recipe, checked.used, checked.root, options.allow)
    except RecipeError:  # planning the recipe reports it
        return None
    key = run_key(checked, options, located, data, inputs, lock)
    taken = None if key is None else kept_run.find(store, key, checked.source)
    if taken is not None:
        for warnings in (taken.whole.said, *(one.warnings for one in data.values())):
            warn(warnings)
    return taken


def _load(spec: r.DataSpec, checked: Checked, options: RunOptions) -> Data:
    return load(spec, root=checked.root, allowed=options.allow, offline=options.offline, source=checked.source)


def finish(taken: kept_run.Taken, directory: RunDirectory, root: Path, progress: StepProgress) -> Outcome:
    """Put a kept run into a run directory, with the record of this time, and show its steps. Raises RecipeError R815
    when it cannot be written."""
    from steerdsl.engine.context import Results
    from steerdsl.running.outcome import EXIT_CODES, Outcome
    from steerdsl.show.report import write_report
    from steerdsl.store.finished_run import open_run

    for step in taken.whole.steps:
        progress.title(f"[{step.number}/{len(taken.whole.steps)}] {step.verb} {step.name}".rstrip())
        progress.finished(STORED if step.done else "")
    directory.make_room()
    try:
        record = kept_run.unpack(taken, directory, root)
        directory.finish()
    except OSError as refused:
        from steerdsl.running.finish import unwritten

        left = f"there is no record, and {directory.fresh} is not whole"
        raise RecipeError([unwritten(refused, left)], Exit.FAILED) from refused
    found = open_run(directory.path)
    results = Results(
        scores=found.scores,
        choices=record["choices"],
        verdicts=record["checks"],
        warnings=record["warnings"],
        notes=record.get("notes", []),
    )
    outcome = Outcome(directory, results, [said.title for said in taken.whole.said])
    outcome.state = record["state"]
    outcome.exit_code = EXIT_CODES[outcome.state]
    try:
        write_report(directory.path)
    except OSError as refused:
        results.warnings.append(f"report.html could not be written: {refused.strerror or refused}".lower())
    return outcome


def keep(store: Store, checked: Checked, plan: Plan, outcome: Outcome, lock: Any, note: Callable[[str], None]) -> None:
    """Keep a run that has come to its end, for the next time that nothing has changed. If there is no room it is not
    kept, and `note` is told."""
    results, makers = outcome.results, outcome.makers
    key = run_key(checked, plan.options, plan.model.located, plan.data, plan.inputs, lock)
    if key is None or makers is None or results.failed or outcome.state not in FINISHED:
        return
    steps = []
    for s in plan.steps:
        done = s.key is not None and s.weights
        keys = kept_run.needed(store, makers.used.get(s.number, ()), PARTS if done else ())
        steps.append(kept_run.Step(s.number, s.verb, s.name, done, keys))
    warning = makers.warning()
    told = [*(found.title for found in plan.warnings), *results.warnings]
    about = kept_run.Whole(
        here=dict(makers.here),
        steps=tuple(steps),
        said=(*plan.notices, *plan.warnings),
        warnings=tuple(line for line in told if line != warning),
    )
    own = replace(store, makers=Makers(makers.here))
    try:
        kept_run.keep(own, key, about, outcome.directory.path, checked.source.name)
    except (OSError, RecipeError) as error:
        note(f"this run was not kept in the store: {error}")


def _asks_elsewhere(recipe: r.Recipe) -> bool:
    """Whether any metric asks a judge, a classifier or a harness."""
    asked = list(calls(recipe.steps))
    return any(needs(asked, what) for what in ELSEWHERE)


def _state(folder: Path) -> list[Any]:
    """The state of each of a model's small files, in folders below it too, and where they are."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".safetensors")
    return [str(folder.resolve()), *([path.relative_to(folder).as_posix(), file_state(path)] for path in files)]
