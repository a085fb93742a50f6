"""The store of step results, addressed by what they were made from.

In: a key (the hash of an operation, its version, its options and its inputs' keys) and files.
Out: the folder of those files, on this run or a later one.

A result is written under a temporary name and renamed into place, so a reader never sees half of
one, and two runs that make the same result may both write it: the first rename wins. Each result
carries the SHA-256 of its files; one that does not match is treated as absent and made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

META = "meta.json"


def content_key(parts: Mapping[str, Any]) -> str:
    """The SHA-256 of a canonical JSON text: the same parts give the same key on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Store:
    """Results under `root`. `damaged` is told of a result whose files do not match their hashes."""

    root: Path
    damaged: Callable[[Path], None] = lambda path: None

    def folder(self, key: str) -> Path:
        """Where the result of this key is, or would be."""
        return self.root / key[:2] / key

    def has(self, key: str) -> bool:
        """Whether a whole result is there; looks at names and sizes, not at every byte."""
        meta = self._meta(key)
        if meta is None:
            return False
        folder = self.folder(key)
        return all(
            (folder / name).is_file() and (folder / name).stat().st_size == facts["bytes"]
            for name, facts in meta["files"].items()
        )

    def get(self, key: str) -> Path | None:
        """The folder of a result, its hashes checked; None when it is absent or damaged."""
        meta = self._meta(key)
        if meta is None:
            return None
        folder = self.folder(key)
        for name, facts in meta["files"].items():
            path = folder / name
            if not path.is_file() or file_sha256(path) != facts["sha256"]:
                self.damaged(path)
                shutil.rmtree(folder, ignore_errors=True)
                return None
        return folder

    def put(self, key: str, about: Mapping[str, Any], write: Callable[[Path], None]) -> Path:
        """Let `write` fill a fresh folder, then rename it into place; returns the final folder."""
        final = self.folder(key)
        final.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=final.parent))
        try:
            write(fresh)
            files = {p.name: {"bytes": p.stat().st_size, "sha256": file_sha256(p)} for p in sorted(fresh.iterdir())}
            (fresh / META).write_text(json.dumps({**about, "key": key, "files": files}, sort_keys=True, indent=1))
            try:
                fresh.rename(final)
            except OSError:
                # Another run finished the same result first, or a damaged one is in the way.
                if self.get(key) is None:
                    shutil.rmtree(final, ignore_errors=True)
                    fresh.rename(final)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return final

    def _meta(self, key: str) -> dict[str, Any] | None:
        try:
            meta: dict[str, Any] = json.loads((self.folder(key) / META).read_text())
        except (OSError, ValueError):
            return None
        return meta if isinstance(meta.get("files"), dict) else None
