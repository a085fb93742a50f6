"""The functions of the package for Python programs: check, plan, run, load.

In: a recipe as a file, a pack or a text, and the options of the command line as keywords. Out: diagnostics, a plan, a
finished run. What is wrong is raised as `RecipeError`, whose `diagnostics` say where; warnings go to `warnings`.
Arguments are held to their types and bounds by `steerdsl.arguments`, before anything is read.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, TypedDict, Unpack

from steerdsl import arguments
from steerdsl.lang.check import Checked
from steerdsl.lang.diagnostics import Diagnostic, RecipeError, render
from steerdsl.lang.reading import GIVEN, folder_of
from steerdsl.lang.source import Source
from steerdsl.pipeline import Caller, file_mistakes, recipe_to_plan, recipe_to_run, text_to_recipe
from steerdsl.share.pack_inputs import is_pack, open_pack, run_folder, unpacked

if TYPE_CHECKING:
    from steerdsl.planning.plan import Plan, RunOptions
    from steerdsl.store.finished_run import Finished

Place: TypeAlias = str | PathLike[str]
Value: TypeAlias = str | SupportsFloat | SupportsIndex
Params: TypeAlias = Mapping[str, Value] | Iterable[tuple[str, Value]]
Progress: TypeAlias = Callable[[str, int, int, str], object]
PACKAGE = os.path.dirname(__file__) + os.sep
ARGUMENTS = ("model", "params", "allow")  # of `plan`, besides the options


class RecipeWarning(UserWarning):
    """What a recipe, its data or its plan warns of."""


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
    run there. `progress` is called with a text, how much is done, of how much, and the unit, and its methods
    `title`, `finished` and `say`, where it has them, with a text. Results that the store has are not computed again.
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

    outcome = recipe_to_run(
        checked,
        chosen,
        "recipe" if file is None else file.stem,
        Caller(_warn_of, _warn, hold),
        lock=None if file is None else lock_path(file),
        out=place,
        force=force,
        progress=told,
    )
    outcome.require_whole()
    return load(outcome.directory.path)


def load(folder: Place) -> Finished:
    """Open a run directory that `run` or `steerdsl run` left, or the run in a pack. Raises RecipeError for a folder
    that is not one, and for a pack that is refused."""
    from steerdsl.store.finished_run import open_run

    return open_run(run_folder(arguments.path("folder", folder)))


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
        _warn(render(diagnostic).rstrip())


def _warn(text: str) -> None:
    """Warn at the line of the program that called the package, however deep in the package this is."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, RecipeWarning, stacklevel=level)
