"""The safetensors files of a model folder: whether they are there, what they hold, their hash.

In: a model folder. Out: `weights_files`, `weights_hash` (SHA-256, computed once for each state of
the files and remembered by their sizes and times), `contents` (from the headers alone), `read_ahead`.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePath
from threading import Thread

from steerdsl.forms.files import file_state, read_bytes
from steerdsl.forms.kept import LARGEST_NOTE, SHA256
from steerdsl.forms.models import INDEX, read_header
from steerdsl.forms.text import read_json
from steerdsl.models.cache import Progress, cache_root, no_progress

_CHUNK = 1 << 22
_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True, slots=True)
class Contents:
    """parameters: how many numbers the files hold. bytes: their size on disk. dtypes: of the
    tensors, the most frequent first."""

    parameters: int
    bytes: int
    dtypes: tuple[str, ...]


def weights_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model folder that transformers loads, in name order; empty when any of
    them is missing, or when the index of parts names a file outside the folder."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    try:
        # With both, transformers takes the one file and never looks at the index.
        parts = not whole.exists() and index.exists()
        names = set(read_json(index, INDEX)["weight_map"].values()) if parts else {whole.name}
    except (OSError, ValueError):
        return ()
    if not names or not all(isinstance(name, str) and _inside(name) for name in names):
        return ()
    files = tuple(folder / name for name in sorted(names))
    return files if all(f.is_file() for f in files) else ()


def _inside(name: str) -> bool:
    """Whether a name in an index is that of a file in the same folder or below. The links of the hub's
    cache lead out of it, and are what they are: part of the folder."""
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of the weights files, by name."""
    return {name: tuple(t["shape"]) for file in weights_files(folder) for name, t in read_header(file).items()}


def contents(folder: Path) -> Contents:
    """What the weights files hold. Raises ValueError for a file that is not a safetensors file."""
    counts: dict[str, int] = {}
    files = weights_files(folder)
    for file in files:
        for tensor in read_header(file).values():
            counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + prod(tensor["shape"])
    dtypes = sorted(counts, key=lambda kind: -counts[kind])
    size = sum(f.stat().st_size for f in files)
    return Contents(sum(counts.values()), size, tuple(_NAMES.get(d, d) for d in dtypes))


def read_ahead(folder: Path) -> Thread | None:
    """Let the system read the weights from the disk while the tensor libraries are loaded; None where it cannot be
    asked to, and where the weights would fill more than half of the memory that is free."""
    files = weights_files(folder)
    if not files or not hasattr(os, "posix_fadvise"):
        return None
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if sum(f.stat().st_size for f in files) > free // 2:
        return None

    def ask() -> None:
        for file in files:
            with suppress(OSError), file.open("rb") as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)

    asking = Thread(target=ask, daemon=True)
    asking.start()
    return asking


def weights_hash(folder: Path, progress: Progress = no_progress) -> str | None:
    """SHA-256 over the contents of the weights files in name order; None when there are none."""
    files = weights_files(folder)
    return files_hash(files, progress) if files else None


def files_hash(files: tuple[Path, ...], progress: Progress = no_progress) -> str:
    """SHA-256 over the contents of these files, one behind another."""
    if known := _known(files):
        return known
    total, done = sum(f.stat().st_size for f in files), 0
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                progress("checking the weights", done, total, "bytes")
    _remember(_note(files), digest.hexdigest())
    return digest.hexdigest()


def known_hash(folder: Path) -> str | None:
    """The hash that `weights_hash` computed earlier for these very files, without reading them."""
    files = weights_files(folder)
    return _known(files) if files else None


def _known(files: tuple[Path, ...]) -> str | None:
    try:
        found = read_bytes(_note(files), LARGEST_NOTE).decode("ascii")
    except (OSError, ValueError):
        return None
    return found if SHA256.fullmatch(found) else None


def _note(files: tuple[Path, ...]) -> Path:
    """Where the hash of these files is remembered: the name holds their paths and states."""
    states = [(str(f.resolve()), file_state(f)) for f in files]
    return cache_root() / "hashes" / hashlib.sha256(repr(states).encode()).hexdigest()


def _remember(note: Path, digest: str) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_suffix(f".{os.getpid()}")
        partial.write_text(digest, "ascii")
        partial.replace(note)
    except OSError:
        return  # a cache that cannot be written costs time only
