"""The functions of the package for Python programs: check, plan, run, load.

In: a recipe as a file or a text, and the options of the command line as keywords. Out: diagnostics, a plan, a
finished run. What is wrong is raised as `RecipeError`, whose `diagnostics` say where; warnings go to `warnings`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from steerdsl.lang.diagnostics import Diagnostic, RecipeError, render
from steerdsl.lang.reading import GIVEN, folder_of
from steerdsl.lang.source import Source
from steerdsl.pipeline import Checked, Prepared, file_mistakes, plan_to_run, recipe_to_plan, text_to_recipe

if TYPE_CHECKING:
    from steerdsl.planning.plan import Plan
    from steerdsl.running.execute import StepProgress
    from steerdsl.store.finished_run import Finished

LARGEST_SEED = 2**53 - 1  # as in a recipe
MOST_ROWS = 1_000_000  # of a batch
Params = Mapping[str, str | int | float]


class RecipeWarning(UserWarning):
    """What a recipe, its data or its plan warns of."""


class Options(TypedDict, total=False):
    """How to run, as on the command line: `--batch-size 8` is `batch_size=8`."""

    device: str
    dtype: str
    batch_size: int
    seed: int
    on: str
    host: str
    insecure: bool
    offline: bool
    keep_unsafe: bool
    judge_url: str
    judge_model: str


def check(recipe: str | Path, *, params: Params | None = None, allow: Sequence[str | Path] = ()) -> list[Diagnostic]:
    """Return every mistake and warning of a recipe and of the files that it reads; none for a good recipe.

    `recipe` is a `Path`, a name that ends in `.steer`, or the text of a recipe. `params` override those of the
    recipe, `allow` are folders beside the recipe's own that it may read. Loads neither a model nor torch.
    Raises OSError for a file that cannot be read.
    """
    source, folders = _source(recipe), _folders(allow)
    checked, found = text_to_recipe(source, folder_of(source), _texts(params), folders)
    return found if checked is None else found + file_mistakes(checked, folders)


def plan(
    recipe: str | Path,
    *,
    model: str | None = None,
    params: Params | None = None,
    allow: Sequence[str | Path] = (),
    **options: Unpack[Options],
) -> Plan:
    """Return the plan of a recipe: its `steps`, every default resolved. Reads no weights.

    `model` is a model's id or folder, in place of the recipe's; the other arguments are those of `check` and the
    options of `steerdsl run`. Raises RecipeError, and ValueError for an option that is out of its bounds.
    """
    return _planned(recipe, model, params, allow, options, fetch=False)[1].plan


def run(
    recipe: str | Path,
    *,
    model: str | None = None,
    params: Params | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: StepProgress | None = None,
    allow: Sequence[str | Path] = (),
    **options: Unpack[Options],
) -> Finished:
    """Run a recipe and return the finished run: its `vectors`, `steers`, `answers`, `scores`, `checks`, `record` and
    `folder`, the run directory.

    The directory is `out`, or one in `runs` that is named after the recipe and the time; `force` replaces an older
    run there. Results that the store has are not computed again. A `check` that fails raises nothing: see `state`.
    Raises RecipeError for a mistake, and for a run that fails, which leaves a record as far as it got.
    """
    checked, prepared = _planned(recipe, model, params, allow, options, fetch=True, progress=progress)
    name = Path(checked.source.name).stem if checked.source.name != GIVEN else "recipe"
    outcome = plan_to_run(prepared, name, out=None if out is None else Path(out), force=force, progress=progress)
    outcome.require_whole()
    return load(outcome.directory.path)


def load(folder: str | Path) -> Finished:
    """Open a run directory that `run` or `steerdsl run` left. Raises RecipeError for a folder that is not one."""
    from steerdsl.store.finished_run import open_run

    return open_run(Path(folder))


def _planned(
    recipe: str | Path,
    model: str | None,
    params: Params | None,
    allow: Sequence[str | Path],
    options: Options,
    *,
    fetch: bool,
    progress: StepProgress | None = None,
) -> tuple[Checked, Prepared]:
    from steerdsl.planning.plan import RunOptions

    _require_sound(options)
    source, folders, texts = _source(recipe), _folders(allow), _texts(params)
    checked, found = text_to_recipe(source, folder_of(source), texts, folders)
    if checked is None:
        raise RecipeError(found)
    _warn(found)
    sets = tuple(f"{name}={text}" for name, text in texts.items())
    chosen = RunOptions(model=model, allow=folders, sets=sets, **options)
    prepared = recipe_to_plan(checked, chosen, fetch=fetch, progress=progress, damaged=_damaged)
    for warned in prepared.warnings:
        _warn(warned)
    return checked, prepared


def _require_sound(options: Options) -> None:
    """Raise ValueError for what the command line refuses of its options."""
    rows, seed = options.get("batch_size"), options.get("seed")
    if rows is not None and not 1 <= rows <= MOST_ROWS:
        raise ValueError(f"batch_size is a whole number from 1 to {MOST_ROWS}, not {rows}")
    if seed is not None and not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed is a whole number from 0 to {LARGEST_SEED}, not {seed}")
    for name in ("host", "insecure"):
        if options.get(name) and options.get("on") != "ndif":
            raise ValueError(f"{name} goes with on='ndif'")


def _source(recipe: str | Path) -> Source:
    """A recipe's text, with the name that diagnostics give it."""
    if isinstance(recipe, str) and not (recipe.endswith(".steer") and "\n" not in recipe):
        return Source(GIVEN, recipe)
    return Source(str(recipe), Path(recipe).read_text("utf-8"))


def _texts(params: Params | None) -> dict[str, str]:
    return {name: value if isinstance(value, str) else repr(value) for name, value in (params or {}).items()}


def _folders(allow: Sequence[str | Path]) -> tuple[Path, ...]:
    return tuple(map(Path, allow))


def _warn(found: Sequence[Diagnostic]) -> None:
    for diagnostic in found:
        warnings.warn(render(diagnostic).rstrip(), RecipeWarning, stacklevel=4)


def _damaged(path: Path) -> None:
    warnings.warn(f"{path} was damaged and is made again", RecipeWarning, stacklevel=4)
