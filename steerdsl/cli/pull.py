"""`steerdsl pull`: fetch a pack from the model hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError


def pull(
    repo: Annotated[str, typer.Argument(metavar="USER/NAME", help="a repository", show_default=False)],
    file: Annotated[
        str | None,
        typer.Option(help="which pack, if there are several", show_default="the only one", metavar="NAME"),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="a commit, a tag or a branch", show_default="main", metavar="NAME")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="where to save", show_default="its own name", metavar="FILE")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
) -> None:
    """Download a pack from the model hub, and check it completely before keeping it.

    \b
    Example:
      steerdsl pull ada/econ
      steerdsl run econ.steerpack
    """
    from steerdsl.share import hub_packs
    from steerdsl.share.pack import read_pack
    from steerdsl.store.files import write_bytes

    found = hub_packs.pull(repo, file, revision)
    pack = read_pack(found)
    target = out or Path(found.name)
    if target.exists() and not force:
        help = "name another file with --out, or add --force"
        raise RecipeError([Diagnostic("R801", f"{target} already exists", help=help)], Exit.USAGE)
    try:
        write_bytes(target, found.read_bytes())
    except OSError as error:
        title = f"{target} could not be created: {(error.strerror or str(error)).lower()}"
        raise RecipeError([Diagnostic("R802", title, help="choose another path with --out")], Exit.FAILED) from error
    print(f"{target}: {len(pack.members)} files, sha256 {pack.sha256}")
