"""The functions of the package for Python programs: check, plan, run, load.

In: a recipe as a file or a text, and the options of the command line as keywords. Out: diagnostics, a plan, a
finished run. What is wrong is raised as `RecipeError`, whose `diagnostics` say where; warnings go to `warnings`.
Arguments are held to their types and bounds by `steerdsl.arguments`, before anything is read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, TypedDict, Unpack

from steerdsl import arguments
from steerdsl.lang.diagnostics import Diagnostic, RecipeError, render
from steerdsl.lang.reading import GIVEN, folder_of
from steerdsl.lang.source import Source
from steerdsl.pipeline import Checked, Prepared, file_mistakes, plan_to_run, recipe_to_plan, text_to_recipe

if TYPE_CHECKING:
    from steerdsl.planning.plan import Plan
    from steerdsl.store.finished_run import Finished

Place: TypeAlias = str | PathLike[str]
Value: TypeAlias = str | SupportsFloat | SupportsIndex
Params: TypeAlias = Mapping[str, Value] | Iterable[tuple[str, Value]]
Progress: TypeAlias = Callable[[str, int, int, str], object]
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

    `recipe` is a `Path`, a name that ends in `.steer`, or the text of a recipe. `params` override those of the
    recipe, `allow` are further folders that it may read. Loads neither a model nor torch.
    Raises OSError for a file that cannot be read, and ValueError for one that is not UTF-8.
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
    options of `steerdsl run`. Raises RecipeError, and TypeError or ValueError for an argument of a wrong type or out
    of its bounds, before anything is read.
    """
    return _planned(recipe, model, params, allow, options, ARGUMENTS)[1].plan


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

    place = None if out is None else arguments.path("out", out)
    force, told = arguments.flag("force", force), arguments.progress(progress)
    known = (*ARGUMENTS, "out", "force", "progress")
    checked, prepared = _planned(recipe, model, params, allow, options, known, fetch=True, progress=told)
    file = None if checked.source.name == GIVEN else Path(checked.source.name)
    if file is not None and (differs := unlike_lock(prepared.plan, file)) is not None:
        warnings.warn(differs, RecipeWarning, stacklevel=2)
    name = "recipe" if file is None else file.stem
    outcome = plan_to_run(prepared, name, out=place, force=force, progress=told)
    outcome.require_whole()
    return load(outcome.directory.path)


def load(folder: Place) -> Finished:
    """Open a run directory that `run` or `steerdsl run` left. Raises RecipeError for a folder that is not one,
    ValueError for a pack, which is to be unpacked first."""
    from steerdsl.store.finished_run import open_run

    place = arguments.path("folder", folder)
    arguments.no_pack("folder", place)
    return open_run(place)


def _planned(
    recipe: Place,
    model: Place | None,
    params: Params | None,
    allow: Place | Iterable[Place],
    options: Options,
    known: Sequence[str],
    *,
    fetch: bool = False,
    progress: arguments.Told | None = None,
) -> tuple[Checked, Prepared]:
    from steerdsl.planning.plan import RunOptions

    own, named = arguments.options(options, known), arguments.model(model)
    folders, texts = arguments.folders("allow", allow), arguments.params(params)
    source = _source(recipe)
    checked, found = text_to_recipe(source, folder_of(source), texts, folders)
    if checked is None:
        raise RecipeError(found)
    _warn(found)
    sets = tuple(f"{name}={text}" for name, text in texts.items())
    chosen = RunOptions(model=named, allow=folders, sets=sets, **own)
    prepared = recipe_to_plan(checked, chosen, fetch=fetch, progress=progress, damaged=_damaged)
    for warned in prepared.warnings:
        _warn(warned)
    return checked, prepared


def _source(recipe: Place) -> Source:
    """A recipe's text, with the name that diagnostics give it."""
    if not isinstance(recipe, str):
        recipe = arguments.path("recipe", recipe)
    arguments.no_pack("recipe", recipe)
    if isinstance(recipe, str) and not (recipe.endswith(".steer") and "\n" not in recipe):
        return Source(GIVEN, recipe)
    try:
        return Source(str(recipe), Path(recipe).read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{recipe} is not UTF-8 text (byte {error.start})") from None


def _warn(found: Sequence[Diagnostic]) -> None:
    for diagnostic in found:
        warnings.warn(render(diagnostic).rstrip(), RecipeWarning, stacklevel=4)


def _damaged(path: Path) -> None:
    warnings.warn(f"{path} was damaged and is made again", RecipeWarning, stacklevel=4)
