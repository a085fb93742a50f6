"""The store of step results, addressed by what they were made from.

In: a key (the hash of an operation, its version, its options and its inputs' keys) and files.
Out: what those files say, on this run or a later one.

A result is written under a temporary name and renamed into place, so a reader never sees half of
one, and two runs that make the same result may both write it: the first rename wins. Each result
carries the SHA-256 of its files; one that does not match is reported, treated as absent and made
again. Nothing is forced to the disk: what a power cut tears does not match either. A result may be
removed at any moment, by `steerdsl store prune` or by hand, and is absent from then on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from steerdsl.forms.files import Misread, require_inside, require_regular
from steerdsl.forms.kept import LARGEST_NOTE, RESULT
from steerdsl.forms.text import read_json
from steerdsl.models.cache import unwritable
from steerdsl.store.folder_locks import discard, fresh_folder, place
from steerdsl.store.provenance import MADE_WITH, Makers

META = "meta.json"
ATTEMPTS = 3

T = TypeVar("T")


def content_key(parts: Mapping[str, Any]) -> str:
    """The SHA-256 of a canonical JSON text: the same parts give the same key on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a regular file's bytes."""
    require_regular(path)
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Damage:
    """The first file of a result that is not what was written, and what is wrong with it."""

    path: Path
    what: str


def read_meta(folder: Path) -> dict[str, Any]:
    """What a result says of itself: its key, its kind, its files with their sizes and hashes.

    Raises `Misread` for a text that is something else, OSError when it cannot be read.
    """
    meta: dict[str, Any] = read_json(folder / META, RESULT, most=LARGEST_NOTE, within=folder)
    if meta["key"] != folder.name or not all(name == Path(name).name and name != META for name in meta["files"]):
        raise Misread(f"{META} describes another result")
    return meta


def find_damage(folder: Path) -> Damage | None:
    """Read every file of a result and compare it with its hash; None for a whole one."""
    try:
        files = read_meta(folder)["files"]
    except (OSError, ValueError):
        return Damage(folder / META, "does not describe a result")
    for name, facts in files.items():
        path = folder / name
        try:
            require_inside(path, folder)
            size = require_regular(path).st_size
            if size != facts["bytes"]:
                return Damage(path, f"has {size} of {facts['bytes']} bytes")
            if file_sha256(path) != facts["sha256"]:
                return Damage(path, "does not match its hash")
        except (OSError, ValueError):
            return Damage(path, "cannot be read")
    return None


@dataclass(frozen=True, slots=True)
class Store:
    """Results under `root`. `damaged` gets the path of a file that does not match its hash; `makers` of what a
    result that is loaded was made with, and knows what one is made with that is saved now."""

    root: Path
    damaged: Callable[[Path], None] = lambda path: None
    makers: Makers | None = None

    def folder(self, key: str) -> Path:
        """Where the result of this key is, or would be."""
        return self.root / key[:2] / key

    def has(self, key: str) -> bool:
        """Whether a whole result is there; looks at names and sizes, not at every byte."""
        folder = self.folder(key)
        try:
            files = read_meta(folder)["files"]
            return all((folder / name).stat().st_size == facts["bytes"] for name, facts in files.items())
        except (OSError, ValueError):
            return False

    def get(self, key: str) -> Path | None:
        """The folder of a result, its hashes checked; None when it is absent or damaged.

        It may be removed while the caller reads it: `load` is for those who read at once.
        """
        folder = self.folder(key)
        if not folder.exists():
            return None
        # Looked at twice, since a result that is being removed or replaced looks damaged for a moment.
        if find_damage(folder) and folder.exists() and (damage := find_damage(folder)):
            self.damaged(damage.path)
            discard(folder)
            return None
        with suppress(OSError):
            os.utime(folder)  # its last use, by which `prune` chooses
        return folder if folder.exists() else None

    def load(self, key: str, read: Callable[[Path], T]) -> T | None:
        """What `read` makes of a result's folder; None when it is absent, damaged, or removed meanwhile."""
        for attempt in range(ATTEMPTS):
            folder = self.get(key)
            if folder is None:
                return None
            try:
                value = read(folder)
                if self.makers is not None:
                    self.makers.take(read_meta(folder))
                return value
            except Misread:
                # Its hashes match, and still it does not say what a result says.
                if self.has(key):
                    self.damaged(folder)
                    discard(folder)
                    return None
            except Exception:
                # A result that is there still may have been removed and made again: that is tried again.
                if attempt + 1 == ATTEMPTS and self.has(key):
                    raise
        return None

    def save(self, key: str, about: Mapping[str, Any], write: Callable[[Path], None], read: Callable[[Path], T]) -> T:
        """Let `write` fill a fresh folder, keep it as the result of `key`, and return what `read` makes
        of it. Where another run was first, its result stays and is returned.

        Raises RecipeError M616 when the store cannot be written.
        """
        final = self.folder(key)
        try:
            with fresh_folder(final.parent) as fresh:
                write(fresh)
                files = {p.name: {"bytes": p.stat().st_size, "sha256": file_sha256(p)} for p in sorted(fresh.iterdir())}
                made = {}
                if self.makers is not None:
                    made[MADE_WITH] = self.makers.now()
                    self.makers.save(key)
                meta = {**about, **made, "key": key, "files": files}
                (fresh / META).write_text(json.dumps(meta, sort_keys=True, indent=1))
                value = read(fresh)
                for _ in range(ATTEMPTS):
                    if place(fresh, final):
                        return value
                    # Another run finished first, or a damaged result is in the way, which this removes.
                    if (other := self.load(key, read)) is not None:
                        return other
        except OSError as error:
            if refused := unwritable(error):
                raise refused from error
            raise
        return value

    def put(self, key: str, about: Mapping[str, Any], write: Callable[[Path], None]) -> Path:
        """Keep a result that nobody reads now; returns its folder."""
        return self.save(key, about, write, lambda folder: self.folder(key))
