"""`steerdsl unpack`: the files of a pack in a folder of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError


def unpack(
    file: Annotated[Path, typer.Argument(metavar="PACK", help="a .steerpack file", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="the folder to create", show_default="NAME", metavar="DIR")] = None,
) -> None:
    """Write the files of a pack into a new folder: the recipe with its data and lock, and the run.

    The whole pack is checked first; if it is refused, nothing is written.

    \b
    Example:
      steerdsl unpack econ.steerpack --out econ
      steerdsl plan econ/recipe/econ.steer
      steerdsl show econ/run
    """
    from steerdsl.share.pack import read_pack, write_members
    from steerdsl.store.folder_locks import fresh_folder, place

    pack = read_pack(file)
    target = out or Path(file.stem)
    try:
        with fresh_folder(target.resolve().parent) as fresh:
            write_members(pack, fresh)
            placed = place(fresh, target)
    except OSError as error:
        title = f"{target} could not be created: {(error.strerror or str(error)).lower()}"
        raise RecipeError([Diagnostic("R802", title, help="choose another path with --out")], Exit.FAILED) from error
    if not placed:
        raise RecipeError(
            [Diagnostic("R801", f"{target} already exists", help="name another folder with --out")], Exit.USAGE
        )
    print(f"{target}: {len(pack.members)} files; the recipe is {target / 'recipe' / pack.recipe}")
