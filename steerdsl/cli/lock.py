"""`steerdsl lock`: pin everything that a recipe's numbers depend on; and `run --locked`, which holds a run to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.cli.recipe import load_recipe, prepare
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.lang.lower.phrases import listed
from steerdsl.share.held import NAMED, count, in_one_line, pins_of
from steerdsl.share.lock import lock_path, read_lock, write_lock
from steerdsl.share.pack_inputs import from_pack
from steerdsl.share.pins import SEVERITIES, PinDifference, differences, unmatched

if TYPE_CHECKING:
    from steerdsl.planning.plan import Plan, RunOptions

DTYPES = ("float32", "float16", "bfloat16")
SHOWN = 200  # pins of one severity that a table has: a lock may be a stranger's


@o.run_options(*o.COMMON, "judge_model")
def lock(
    file: o.File = None,
    *,
    chosen: RunOptions,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="overwrite a lock that differs")] = False,
) -> None:
    """Write RECIPE.lock: the model, the data, every default and every version that the numbers depend on.

    Without --upgrade, a lock that differs is not replaced: the differences are printed, and the exit code is 4.
    `steerdsl run --locked` refuses to run on any difference. Give both the same options.

    \b
    Example:
      steerdsl lock recipes/econ.steer
      steerdsl lock recipes/econ.steer --upgrade
    """
    from steerdsl.cli.progress import Progress

    if file in (None, "-") or not file:
        raise typer.BadParameter("name a file: a lock is stored next to its recipe")
    if upgrade and from_pack(Path(file)):
        raise typer.BadParameter("a pack is read-only: unpack it with `steerdsl unpack`, and lock its recipe")
    checked = load_recipe(file, None, chosen.sets, chosen.allow)
    with Progress(shown=True) as progress:
        made = pins_of(prepare(checked, chosen, fetch=True, progress=progress).plan)
    path = lock_path(Path(file))
    before = None if upgrade and not path.is_dir() else read_lock(path)
    if before is None:
        write_lock(made, path)
        print(f"{path}: {len(made)} pins")
    elif found := differences(before, made):
        print_differences(found, "the lock", sys.stdout)
        raise RecipeError([_differs(path, found, "add --upgrade to pin the current values")], Exit.DIFFERS)
    else:
        print(f"{path}: up to date")


def hold(plan: Plan, file: str | None, locked: bool) -> bool:
    """Hold a plan to the lock next to its recipe `file`, and return whether nothing differs: with `locked`, raise
    RecipeError R860 where there is none and R862 (exit code 4) where it differs, else warn in one line."""
    if file in (None, "-") or not file:
        if locked:
            raise typer.BadParameter("--locked needs a recipe in a file, with its lock next to it")
        return True
    path = lock_path(Path(file))
    before = read_lock(path)
    if before is None:
        if locked:
            help = f"write it with `steerdsl lock {file}`"
            raise RecipeError([Diagnostic("R860", f"there is no lock {path}", help=help)], Exit.USAGE)
        return True
    found = differences(before, pins_of(plan))
    if not found:
        return True
    if locked:
        print_differences(found, "the lock", sys.stderr)
        help = f"undo the change, or run `steerdsl lock {file} --upgrade`"
        raise RecipeError([_differs(path, found, help)], Exit.DIFFERS)
    sys.stderr.write(f"warning: {in_one_line(path, found)}\n")
    return False


def _differs(path: Path, found: Sequence[PinDifference], help: str) -> Diagnostic:
    """`help` is the way out; where the dtype differs, which `auto` leaves to the machine, first its option."""
    dtype = [d.before for d in found if d.name == "model.dtype"]
    if dtype and dtype[0] in DTYPES:
        help = f"add --dtype {dtype[0]} for the dtype of the lock; else {help}"
    title = f"this differs from {path.name} in {count(found)}"
    return Diagnostic("R862", title, notes=tuple(_of_versions(found)), help=help)


def _of_versions(found: Sequence[PinDifference]) -> Iterator[str]:
    """What of the differences comes from the version that wrote the lock, and from no change of the recipe."""
    wrote = next((d for d in found if d.name == "packages.steerdsl"), None)
    lacks, only = ([d.name for d in unmatched(found) if getattr(d, side) is None] for side in ("before", "now"))
    if not (wrote or lacks or only):
        return
    who = f"steerdsl {wrote.before}" if wrote and wrote.before else "another version of steerdsl"
    pins = [f"it does not pin {listed(lacks[:NAMED])}"] if lacks else []
    pins += [f"it pins {listed(only[:NAMED])}, which this version does not"] if only else []
    yield f"{who} wrote the lock" + (f": {', and '.join(pins)}" if pins else "")


def print_differences(found: Sequence[PinDifference], before: str, stream: Any) -> None:
    """Print a table for each severity: the pin, its value `before`, its value here."""
    from steerdsl.show.sheet import Sheet
    from steerdsl.show.terminal import Terminal

    for severity, meaning in SEVERITIES.items():
        rows = [tuple(map(shown, (d.name, d.before, d.now))) for d in found if d.severity == severity]
        if rows:
            Terminal(file=stream).print(Sheet(("pin", before, "here"), rows[:SHOWN], meaning, prose=(1, 2)))
        if len(rows) > SHOWN:
            stream.write(f"and {len(rows) - SHOWN} more pins\n")


def shown(value: Any) -> str:
    """A pin's value in a table: hashes by their first 12 digits."""
    text = "–" if value is None else str(value)
    return text[:12] + "…" if len(text) == 64 and all(c in "0123456789abcdef" for c in text) else text
