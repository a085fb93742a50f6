"""Where the text of a recipe and of the files that it uses comes from.

In: a file, or a text without one. Out: `Source`s, and the reader with which `use` finds its files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from errno import EACCES, EINVAL
from pathlib import Path

from steerdsl.forms.files import LARGEST, Misread, read_bytes
from steerdsl.lang.source import Source

STDIN, TEXT, GIVEN = "<stdin>", "-e", "<recipe>"  # how diagnostics name a text that is not in a file
NAMELESS = (STDIN, TEXT, GIVEN)


def folder_of(source: Source) -> Path:
    """The folder that a recipe's paths start from: its own, or the current one when it is not in a file."""
    return Path() if source.name in NAMELESS else Path(source.name).parent


def reader(folder: Path, allowed: Iterable[Path] = ()) -> Callable[[str], Source]:
    """Return what reads a `use`d file by its path from `folder`, the recipe's.

    It raises OSError where there is none, and where a link leads out of that folder and the allowed ones.
    """
    roots = (folder, *allowed)

    def read(path: str) -> Source:
        file = folder / path
        real = file.resolve(strict=True)
        if not any(real.is_relative_to(root.resolve()) for root in roots):
            raise PermissionError(EACCES, "a link leads out of the recipe's folder")
        return Source(str(file), _bytes(real).decode("utf-8"))

    return read


def _bytes(file: Path) -> bytes:
    try:
        return read_bytes(file, LARGEST)
    except Misread as error:
        raise OSError(EINVAL, str(error)) from error
