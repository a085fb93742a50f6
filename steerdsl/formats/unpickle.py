"""Opening a file of torch.save without running anything in it.

In: a path. Out: what it holds, made of tensors and plain containers; a `Pickled` for a vector of
steering-vectors. One MethodError for a file that is damaged, asks for code, or holds more than its size.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from steerdsl.formats import checks
from steerdsl.formats.checks import damaged
from steerdsl.methods.types import MethodError

TITLE = "a file of torch.save"
STEERING_VECTOR = "steering_vectors.steering_vector.SteeringVector"


class Pickled:
    """Stands for a `SteeringVector` of steering-vectors, which need not be installed: its fields become
    attributes here, and no code of it runs."""


def opened(path: Path) -> Any:
    """What a file holds, read with `weights_only`."""
    import torch

    checks.size(path)
    _check_archive(path)
    try:
        asked = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception as error:  # what a damaged file trips in the parser is not foreseeable
        raise damaged(path.name, TITLE, error or type(error).__name__) from error
    unsafe = sorted(set(asked) - {STEERING_VECTOR})
    if unsafe:
        raise MethodError(
            f"{path.name} asks for {unsafe[0]}, but only tensors are read from it",
            "save the tensors alone, and trust no file that asks for more",
            "R841",
        )
    try:
        with torch.serialization.safe_globals([(Pickled, STEERING_VECTOR)]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # as above
        raise damaged(path.name, TITLE, str(error).partition("\n")[0] or type(error).__name__) from error


def _check_archive(path: Path) -> None:
    """Refuse what is not an archive, and one whose members unpack to more than the file's own size."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise damaged(path.name, TITLE, error) from error
    held = sum(member.file_size for member in members)
    if held > path.stat().st_size or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise MethodError(
            f"{path.name} unpacks to {held:,} bytes from {path.stat().st_size:,}, which no torch.save file does",
            "save the tensors again",
            "R845",
        )
