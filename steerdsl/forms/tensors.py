"""Safetensors files that somebody else may have written.

In: a path, the folder that it must not lead out of, the most bytes that it may have. Out: an open file, or all
that it holds. Raises OSError where the system refuses, `Misread` for any other file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.forms.files import Misread, require_inside, require_regular

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 1 << 30  # bytes of a file of directions; the largest published one has a fortieth of it


@contextmanager
def open_tensors(path: Path, most: int | None = LARGEST, within: Path | None = None) -> Iterator[Any]:
    """A safetensors file with torch tensors; what goes wrong while it is open is a `Misread` too."""
    from safetensors import SafetensorError, safe_open

    if within is not None:
        require_inside(path, within)
    found = require_regular(path)
    if most is not None and found.st_size > most:
        raise Misread(f"{path.name} has {found.st_size:,} bytes, and at most {most:,} are read")
    try:
        with safe_open(path, framework="pt") as opened:
            yield opened
    except SafetensorError as error:
        raise Misread(f"{path.name} is not a safetensors file: {error}") from error


def read_tensors(path: Path, within: Path | None = None) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What the header says besides the tensors, and the tensors by name."""
    with open_tensors(path, within=within) as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  (the handle is not a mapping)
        return dict(opened.metadata() or {}), tensors
