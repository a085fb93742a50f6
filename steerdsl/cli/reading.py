"""Recipes as the command line names them.

In: paths, `-` for the standard input, or text after `-e`. Out: `Source`s, and the reader with which
a recipe's `use` finds its files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from errno import EACCES, EINVAL
from pathlib import Path
from typing import Annotated

import typer

from steerdsl.cli.packed import is_pack, open_pack
from steerdsl.forms.files import LARGEST, Misread, read_bytes
from steerdsl.lang.source import Source

STDIN, TEXT = "<stdin>", "-e"  # how diagnostics name what is no file

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


def folder_of(source: Source) -> Path:
    """The folder that a recipe's paths start from: its own, or the current one when it is no file."""
    return Path(source.name).parent if source.name not in (TEXT, STDIN) else Path()


def reader(folder: Path, allowed: Sequence[Path] = ()) -> Callable[[str], Source]:
    """Return what reads a `use`d file by its path from `folder`, the recipe's.

    It raises OSError where there is none, and where a link leads out of that folder and the allowed ones.
    """

    def read(path: str) -> Source:
        file = folder / path
        real = file.resolve(strict=True)
        if not any(real.is_relative_to(root.resolve()) for root in (folder, *allowed)):
            raise PermissionError(EACCES, "a link leads out of the recipe's folder")
        return Source(str(file), _bytes(real).decode("utf-8"))

    return read


def _bytes(file: Path) -> bytes:
    try:
        return read_bytes(file, LARGEST)
    except Misread as error:
        raise OSError(EINVAL, str(error)) from error
