"""`steerdsl push`: publish a pack on the model hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    file: Annotated[Path, typer.Argument(metavar="PACK", help="a .steerpack file", show_default=False)],
    repo: Annotated[str, typer.Option(help="the repository; created if it does not exist", metavar="USER/NAME")],
    licence: Annotated[str, typer.Option("--license", help="the hub's name for the licence, such as mit")] = "unknown",
    private: Annotated[bool, typer.Option("--private", help="make a new repository private")] = False,
    message: Annotated[
        str | None, typer.Option(help="the commit message", show_default="Add FILE", metavar="TEXT")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the card and send nothing")] = False,
) -> None:
    """Publish a pack on the model hub, with a card: what it is, how to run it, its scores, its limits.

    The token comes from `hf auth login` or HF_TOKEN.

    \b
    Example:
      steerdsl push econ.steerpack --repo ada/econ --license mit --dry-run
    """
    from steerdsl.share import hub_packs
    from steerdsl.share.card import card
    from steerdsl.share.pack import read_pack

    text = card(read_pack(file), repo, licence)
    print(text if dry_run else hub_packs.push(file, text, repo, private=private, message=message))
