"""Recipes as the command line names them.

In: paths, `-` for the standard input, or text after `-e`. Out: `Source`s.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from steerdsl.lang.reading import STDIN, TEXT
from steerdsl.lang.source import Source
from steerdsl.share.pack_inputs import is_pack, open_pack

Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILE", help="Recipes or packs; - is standard input.", show_default=False),
]


def read_sources(files: list[str] | None, text: str | None = None) -> list[Source]:
    """Return the recipes named; typer.BadParameter (exit code 2) for what is not there or no text."""
    if not files and text is None:
        raise typer.BadParameter("name a file, or `-` for standard input")
    sources = [read_source(name) for name in files or ()]
    return sources if text is None else [*sources, Source(TEXT, text)]


def read_source(name: str) -> Source:
    """Return one recipe by its path, that in a pack, or the standard input for `-`."""
    if is_pack(name):
        name = str(open_pack(Path(name))[0])
    if name == "-" and sys.stdin is None:
        raise typer.BadParameter("standard input is closed: name a file, or give the text after -e")
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return Source(STDIN if name == "-" else name, data.decode("utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{name} could not be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{name} is not UTF-8 text (byte {error.start})") from None
