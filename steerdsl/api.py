"""The functions of the package for Python programs: check, plan, run, load, steered.

In: a recipe as a file, a pack or a text, and the options of the command line as keywords. Out: diagnostics, a plan, a
finished run, a model of the program's own that is steered. What is wrong is raised as `RecipeError`, whose
`diagnostics` say where; warnings go to `warnings`. Arguments are held to their types and bounds by
`steerdsl.arguments`, before anything is read.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, TypedDict, Unpack

from steerdsl import arguments
from steerdsl.lang.check import Checked
from steerdsl.lang.diagnostics import Diagnostic, RecipeError, render
from steerdsl.lang.reading import GIVEN, folder_of
from steerdsl.lang.source import Source
from steerdsl.pipeline import Caller, Prepared, file_mistakes, recipe_to_plan, recipe_to_run, text_to_recipe
from steerdsl.running.notebook_line import shown
from steerdsl.share.pack_inputs import is_pack, open_pack, run_folder, unpacked
from steerdsl.store.finished_run import Finished, open_run

if TYPE_CHECKING:
    from steerdsl.planning.plan import Plan, RunOptions
    from steerdsl.running.progress import StepProgress

Place: TypeAlias = str | PathLike[str]
Value: TypeAlias = str | SupportsFloat | SupportsIndex
Params: TypeAlias = Mapping[str, Value] | Iterable[tuple[str, Value]]
Progress: TypeAlias = Callable[[str, int, int, str], object] | Literal[False]
PACKAGE = os.path.dirname(__file__) + os.sep
ARGUMENTS = ("model", "params", "allow")  # of `plan`, besides the options
BY_HAND = "stopped by SIGINT"  # why a run ended that Ctrl-C stopped


@dataclass(frozen=True, repr=False)
class FinishedRun(Finished):
    """A finished run as a program has it: a notebook shows its scores and its pictures."""

    def _repr_html_(self) -> str:
        from steerdsl.show.report import fragment

        return fragment(self)


class RecipeWarning(UserWarning):
    """What a recipe, its data or its plan warns of; `diagnostic` says where, for what has a place."""

    def __init__(self, text: str, diagnostic: Diagnostic | None = None) -> None:
        super().__init__(text)
        self.diagnostic = diagnostic


class Options(TypedDict, total=False):
    """How to run, as on the command line: `--batch-size 8` is `batch_size=8`."""

    device: Any  # a word or torch's own value, as `dtype`
    dtype: Any
    batch_size: SupportsIndex | Literal["auto"] | None
    seed: SupportsIndex | None
    on: str
    host: str | None
    insecure: bool
    offline: bool
    keep_unsafe: bool
    judge_url: str | None
    judge_model: str | None


def check(recipe: Place, *, params: Params | None = None, allow: Place | Iterable[Place] = ()) -> list[Diagnostic]:
    """Return every mistake and warning of a recipe and of the files that it reads; none for a good recipe.

    `recipe` is a `Path`, a name that ends in `.steer` or `.steerpack`, or the text of a recipe. `params` override those
    of the recipe, `allow` are further folders that it may read. Loads neither a model nor torch.
    Raises OSError for a file that cannot be read, ValueError for one that is not UTF-8, and RecipeError for a pack that
    is refused.
    """
    folders, texts = arguments.folders("allow", allow), arguments.params(params)
    source = _source(recipe)
    checked, found = text_to_recipe(source, folder_of(source), texts, folders)
    return found if checked is None else found + file_mistakes(checked, folders)


def plan(
    recipe: Place,
    *,
    model: Place | None = None,
    params: Params | None = None,
    allow: Place | Iterable[Place] = (),
    **options: Unpack[Options],
) -> Plan:
    """Return the plan of a recipe: its `steps`, every default resolved. Reads no weights.

    `model` is a model's id or folder, in place of the recipe's; the other arguments are those of `check` and the
    options of `steerdsl run`. A pack's recipe has the params and the options of the pack's run where none are given.
    Raises RecipeError, and TypeError or ValueError for an argument of a wrong type or out
    of its bounds, before anything is read.
    """
    prepared = recipe_to_plan(*_checked(recipe, model, params, allow, options, ARGUMENTS), note=_warn)
    for found in prepared.warnings:
        _warn_of(found)
    return prepared.plan


def run(
    recipe: Place,
    *,
    model: Place | None = None,
    params: Params | None = None,
    out: Place | None = None,
    force: bool = False,
    progress: Progress | None = None,
    allow: Place | Iterable[Place] = (),
    **options: Unpack[Options],
) -> Finished:
    """Run a recipe and return the finished run: its `vectors`, `steers`, `answers`, `scores`, `checks`, `record` and
    `folder`, the run directory.

    The directory is `out`, or one in `runs` that is named after the recipe and the time; `force` replaces an older
    run there. A run that Ctrl-C stops is given back as far as it got, its `state` being `interrupted`, with a warning.
    `progress` is called with a text, how much is done, of how much, and the unit, and its methods
    `title`, `finished` and `say`, where it has them, with a text; without it a notebook shows one line, which `False`
    leaves out. Results that the store has are not computed again.
    A `check` that fails raises nothing: see `state`. Raises as `plan`, and RecipeError for a run that fails, which
    leaves a record as far as it got.
    """
    from steerdsl.share.held import unlike_lock
    from steerdsl.share.lock import lock_path

    place = None if out is None else arguments.path("out", out)
    force, told = arguments.flag("force", force), arguments.progress(progress)
    checked, chosen = _checked(recipe, model, params, allow, options, (*ARGUMENTS, "out", "force", "progress"))
    file = None if checked.source.name == GIVEN else Path(checked.source.name)

    def hold(plan: Plan) -> bool:
        differs = None if file is None else unlike_lock(plan, file)
        if differs is not None:
            _warn(differs)
        return differs is None

    with shown(told) as seen:
        outcome = recipe_to_run(
            checked,
            chosen,
            "recipe" if file is None else file.stem,
            Caller(_warn_of, _warn, hold),
            lock=None if file is None else lock_path(file),
            out=place,
            force=force,
            progress=seen,
        )
    if outcome.state == "interrupted" and outcome.why == BY_HAND:
        _warn(f"the run was stopped at {outcome.stopped_at}; this is what there was until then")
    else:
        outcome.require_whole()
    return load(outcome.directory.path)


def load(folder: Place) -> Finished:
    """Open a run directory that `run` or `steerdsl run` left, or the run in a pack. Raises RecipeError for a folder
    that is not one, for a file that is not the one that its record names, and for a pack that is refused."""
    found = open_run(run_folder(arguments.path("folder", folder)))
    found.require_recorded("scores.json", "generations.jsonl")
    return FinishedRun(found.folder, found.record, found.scores, found.answers)


@contextmanager
def steered(
    model: Any,
    source: Finished | Place,
    *,
    steer: str | Mapping[str, float] | None = None,
    params: Params | None = None,
    allow: Place | Iterable[Place] = (),
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> Iterator[Any]:
    """Steer a model of transformers that the program has loaded, while the context lasts; gives the model.

    `source` is a finished run, its folder, or a recipe as for `plan`. `steer` names one of its steers, or several
    with weights (`{"forgetful": 0.5}`); it may be left out where there is only one. What the steer acts with comes
    from the store, or is computed first, on the source's own model. `model.generate` then gives the tokens that `run`
    gives for the same prompts, settings, dtype and device.

    Raises RecipeError: R900 for a model that the steer was not made for, R901 for a steer that there is not, R902 for
    a weight that cannot be, and R903 from a pass that a steer cannot follow.
    """
    from steerdsl.engine.attached import attached
    from steerdsl.engine.batch_edits import compile_rows
    from steerdsl.serving.own_model import base_of, require_modules, require_same
    from steerdsl.serving.steers import ready

    told, steer = arguments.progress(progress), arguments.steer(steer)
    inner = base_of(model)
    with shown(told) as seen:
        prepared = _prepared_for(inner, source, params, allow, options, seen)
        require_same(inner, prepared.plan.model)
        steers = ready(prepared, seen)
    made = steers.mixed(steer) if isinstance(steer, Mapping) else steers.named(steer or steers.only())
    touches = compile_rows([made], prepared.plan.model.arch)
    del steers, prepared  # with the model that they may have opened
    require_modules(inner, touches)
    with attached(inner, touches):
        yield model


def _prepared_for(
    model: Any,
    source: Finished | Place,
    params: Params | None,
    allow: Place | Iterable[Place],
    options: Options,
    progress: StepProgress | None,
) -> Prepared:
    """The plan of a run, or of a recipe on the model that the program has loaded."""
    from steerdsl.planning.plan import RunOptions
    from steerdsl.serving.own_model import place_of
    from steerdsl.serving.sources import of_run

    known = ("steer", "params", "allow", "progress")
    if not isinstance(source, Finished):
        place = arguments.place("source", source)
        if "\n" not in place and os.path.isdir(place):  # Path.is_dir raises for a text that is too long for a name
            source = load(source)
    if isinstance(source, Finished):
        own, folders = arguments.options(options, known), arguments.folders("allow", allow)
        sets = tuple(f"{name}={text}" for name, text in arguments.params(params).items())
        checked, chosen = of_run(source, RunOptions(allow=folders, sets=sets, **own))
    else:
        dtype: Options = {"dtype": model.dtype}
        checked, chosen = _checked(source, place_of(model), params, allow, {**dtype, **options}, known)
    prepared = recipe_to_plan(checked, chosen, fetch=True, progress=progress, note=_warn)
    for found in prepared.warnings:
        _warn_of(found)
    return prepared


def _checked(
    recipe: Place,
    model: Place | None,
    params: Params | None,
    allow: Place | Iterable[Place],
    options: Options,
    known: Sequence[str],
) -> tuple[Checked, RunOptions]:
    """A recipe without errors and how to run it. Raises as `plan`."""
    from steerdsl.planning.plan import RunOptions

    own, named = arguments.options(options, known), arguments.model(model)
    folders, texts = arguments.folders("allow", allow), arguments.params(params)
    sets = tuple(f"{name}={text}" for name, text in texts.items())
    chosen = RunOptions(model=named, allow=folders, sets=sets, **own)
    place = recipe if _is_text(recipe) else arguments.path("recipe", recipe)
    if isinstance(place, Path) and is_pack(place):
        opened, chosen = unpacked(str(place), chosen)
        place = Path(str(opened))
    source = _source(place)
    checked, found = text_to_recipe(source, folder_of(source), _named(chosen.sets), folders)
    if checked is None:
        raise RecipeError(found)
    _warn_of(found)
    return checked, chosen


def _source(recipe: Place) -> Source:
    """A recipe's text, with the name that diagnostics give it."""
    if _is_text(recipe):
        return Source(GIVEN, str(recipe))
    place = arguments.path("recipe", recipe)
    file = open_pack(place)[0] if is_pack(place) else place
    try:
        return Source(str(file), file.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text (byte {error.start})") from None


def _is_text(recipe: Place) -> bool:
    """Whether a recipe is given as its text, and not as a file or a pack."""
    return isinstance(recipe, str) and ("\n" in recipe or not (recipe.endswith(".steer") or is_pack(recipe)))


def _named(sets: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE`s as a mapping; of two for a name the last."""
    pairs = (item.partition("=") for item in sets)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _warn_of(found: Sequence[Diagnostic]) -> None:
    for diagnostic in found:
        _warn(render(diagnostic).rstrip(), diagnostic)


def _warn(text: str, diagnostic: Diagnostic | None = None) -> None:
    """Warn at the line of the program that called the package, however deep in the package this is."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(RecipeWarning(text, diagnostic), stacklevel=level)
