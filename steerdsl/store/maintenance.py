"""Keep a store: what is in it, what is damaged, what nobody has used for long.

In: the folder of a store. Out: its results as values; folders removed. Everything here may run at the same time as
runs that use the same store: what they are writing is left alone, and what is removed is made again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerdsl.store.folder_locks import NEW, OLD, abandoned, discard, remove_abandoned
from steerdsl.store.provenance import MADE_WITH
from steerdsl.store.results import Damage, find_damage, read_meta

NOT_ABOUT = ("files", "key", "kind", MADE_WITH)
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Stored:
    """One result. `about` is what it says of itself; `made` and `used` are times in seconds since 1970,
    the second of its last use."""

    key: str
    kind: str
    about: Mapping[str, Any]
    folder: Path
    bytes: int
    made: float
    used: float


def stored(root: Path) -> list[Stored]:
    """Every result of a store, the last used first."""
    found = (_describe(folder) for folder in root.glob("*/*") if not folder.name.startswith((NEW, OLD)))
    return sorted((s for s in found if s is not None), key=lambda s: (-s.used, s.key))


def _describe(folder: Path) -> Stored | None:
    """One result; None when it has been removed meanwhile."""
    try:
        used = folder.stat().st_mtime
        files = [path.stat() for path in folder.iterdir()]
        made = max((file.st_mtime for file in files), default=used)
    except OSError:
        return None
    try:
        meta = read_meta(folder)
    except (OSError, ValueError):
        meta = {"kind": UNREADABLE}
    about = {name: value for name, value in meta.items() if name not in NOT_ABOUT}
    size = sum(file.st_size for file in files)
    return Stored(folder.name, str(meta.get("kind", "other")), about, folder, size, made, used)


def outdated(
    found: Sequence[Stored],
    *,
    now: float,
    older_than: float | None = None,
    max_size: int | None = None,
    everything: bool = False,
    kinds: Collection[str] = (),
) -> list[Stored]:
    """The results to remove, the least recently used first: all; or those unused for `older_than`
    seconds, and as many more as bring the whole store down to `max_size` bytes. Only those of `kinds`
    are taken when some are given."""
    size = sum(s.bytes for s in found)
    taken = []
    for s in sorted(found, key=lambda s: (s.used, s.key)):
        if kinds and s.kind not in kinds:
            continue
        old = older_than is not None and now - s.used > older_than
        large = max_size is not None and size > max_size
        if everything or old or large:
            taken.append(s)
            size -= s.bytes
    return taken


def prune(chosen: Sequence[Stored]) -> list[Stored]:
    """Remove results, except those that a run has used since they were listed; returns the removed."""
    return [s for s in chosen if _unused(s) and discard(s.folder)]


def _unused(s: Stored) -> bool:
    try:
        return s.folder.stat().st_mtime == s.used
    except OSError:
        return False


def damages(root: Path) -> Iterator[tuple[Stored, Damage]]:
    """Every result that does not match its hashes; reads every byte of the store."""
    for s in stored(root):
        damage = find_damage(s.folder)
        if damage is not None and s.folder.exists():
            yield s, damage


def leftovers(root: Path) -> list[Path]:
    """Temporary folders whose processes were stopped while they wrote or removed a result."""
    made = (folder for pattern in (NEW, OLD) for folder in root.glob(f"*/{pattern}*"))
    return sorted(folder for folder in made if abandoned(folder))


def tidy(root: Path) -> list[Path]:
    """Remove `leftovers`; returns the removed."""
    return [folder for folder in leftovers(root) if remove_abandoned(folder)]
