"""A pack: one `.steerpack` file with a recipe, its lock, its data, and a run of it.

In: members by name. Out: the file, and from a file its members, read only when every one of them is
named in the manifest with its size and SHA-256, has a safe name, and is of a kind that never runs.
Nothing is written to the disk before all of a pack was checked.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import error as StructError
from typing import Any

from steerdsl.forms import kept, runs
from steerdsl.forms.files import Misread, read_bytes, require_regular
from steerdsl.forms.record import RECORD as FORM
from steerdsl.forms.record import Record
from steerdsl.forms.text import parse_json, parse_lines
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.cache import cache_root
from steerdsl.share.archive import zip_bytes
from steerdsl.share.members import FOLDERS, same_on_some_system, unsafe_name, wrong_kind
from steerdsl.store.files import write_bytes

MANIFEST = "manifest.json"
VERSION = 1
LARGEST = 512 << 20  # bytes of a pack: vectors of a large model have some ten million
LARGEST_MANIFEST = 4 << 20
MOST_MEMBERS = 10_000
RECORD = ("run/record.json", "run/generations.jsonl", "run/scores.json")
_ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack that was checked: `recipe` is the recipe's file name, `record` the run's record, `sha256` that
    of the whole file."""

    name: str
    recipe: str
    record: Record
    members: Mapping[str, bytes]
    sha256: str


def pack_bytes(recipe: str, members: Mapping[str, bytes]) -> bytes:
    """The bytes of a pack; the same members give the same bytes."""
    facts = {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in members.items()}
    manifest = {"format": "steerpack", "version": VERSION, "recipe": recipe, "members": facts}
    text = json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    return zip_bytes({MANIFEST: text.encode(), **dict(sorted(members.items()))})


def read_pack(path: Path) -> Pack:
    """Check all of a pack. Raises RecipeError: R866 (no pack), R867 (a name), R868 (size or
    compression), R869 (something is not what the manifest says; exit code 4), R870 (a kind of file)."""
    data = _bytes(path)
    found = _members(path, data)
    manifest = _manifest(path, found.pop(MANIFEST))
    _compare(path, manifest["members"], found)
    for name, content in found.items():
        if problem := wrong_kind(name, content):
            raise _refusal(path, "R870", f"`{name}`: {problem}")
    recipe = manifest["recipe"]
    missing = [n for n in (f"recipe/{recipe}", f"recipe/{recipe}.lock", *RECORD) if n not in found]
    if missing:
        raise _refusal(path, "R866", f"`{missing[0]}` is missing")
    if pack_bytes(recipe, found) != data:
        raise _refusal(path, "R866", "its bytes are not those that a pack of these files has")
    record = _record(path, found[RECORD[0]], found[f"recipe/{recipe}"])
    _read_as(path, RECORD[1], found[RECORD[1]], parse_lines, runs.ANSWER)
    _read_as(path, RECORD[2], found[RECORD[2]], parse_json, runs.SCORES)
    return Pack(path.name, recipe, record, found, _sha256(data))


def _bytes(path: Path) -> bytes:
    try:
        size = require_regular(path).st_size
        if size > LARGEST:
            raise _refusal(path, "R868", f"it has {size} bytes, and a pack has at most {LARGEST}")
        return read_bytes(path, LARGEST)
    except FileNotFoundError as error:
        raise _refusal(path, "R866", "there is no such file", "check the path") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror or "it cannot be read").lower() if isinstance(error, OSError) else str(error)
        raise _refusal(path, "R866", reason, "check the path") from error


def _record(path: Path, data: bytes, recipe: bytes) -> Record:
    """The record of the run."""
    found: Record = _read_as(path, RECORD[0], data, parse_json, FORM)
    if found["recipe"]["sha256"] != _sha256(recipe):
        raise _refusal(path, "R869", "its record is that of another recipe", exit_code=Exit.DIFFERS)
    return found


def _read_as(path: Path, name: str, data: bytes, parse: Callable[..., Any], form: Any) -> Any:
    try:
        return parse(data, form, f"`{name}`")
    except Misread as error:
        raise _refusal(path, "R866", str(error)) from error


def _members(path: Path, data: bytes) -> dict[str, bytes]:
    """Every member by name, the manifest first."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check(path, infos, len(data))
            return {info.filename: _read(path, archive, info) for info in infos}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, RuntimeError, StructError) as error:
        raise _refusal(path, "R866", f"it cannot be read as a zip: {str(error).lower() or 'it is damaged'}") from error


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(info)
    except zipfile.BadZipFile as error:
        if "CRC" not in str(error):
            raise
        raise _refusal(
            path, "R869", f"`{info.filename}` is not what its checksum says", exit_code=Exit.DIFFERS
        ) from error


def _check(path: Path, infos: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Refuse what a zip can say that a pack may not, before any member is read."""
    if len(infos) > MOST_MEMBERS:
        raise _refusal(path, "R868", f"it has {len(infos)} members, and a pack has at most {MOST_MEMBERS}")
    if not infos or infos[0].filename != MANIFEST:
        raise _refusal(path, "R866", f"its first member is not `{MANIFEST}`")
    if infos[0].file_size > LARGEST_MANIFEST:
        raise _refusal(path, "R868", "its manifest is too large")
    for info in infos:
        # What zipfile made of the name is not what another program would read.
        problem = unsafe_name(info.orig_filename)
        mode = stat.S_IFMT(info.external_attr >> 16)
        if problem is None and info.orig_filename.split("/")[0] not in FOLDERS and info is not infos[0]:
            problem = "it is not in a folder of the pack"
        if mode not in (0, stat.S_IFREG) and problem is None:
            problem = "it is a link" if mode == stat.S_IFLNK else "it is not a regular file"
        if problem is not None:
            raise _refusal(path, "R867", f"the name {info.orig_filename!a} is refused: {problem}")
        if info.flag_bits & _ENCRYPTED:
            raise _refusal(path, "R868", f"`{info.filename}` is encrypted")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise _refusal(path, "R868", f"`{info.filename}` is compressed, and the members of a pack are stored")
    _check_pairs(path, [info.filename for info in infos])
    if sum(info.file_size for info in infos) > size:
        raise _refusal(path, "R868", "its members overlap: they are larger than the file")


def _check_pairs(path: Path, names: Sequence[str]) -> None:
    """Refuse two names that are one file on some system, and a file that is another's folder."""
    seen: set[str] = set()
    for name in names:
        if (folded := same_on_some_system(name)) in seen:
            raise _refusal(path, "R867", f"the name {name!a} is refused: another member has it too")
        seen.add(folded)
    for name in names:
        parts = same_on_some_system(name).split("/")
        if any("/".join(parts[:i]) in seen for i in range(1, len(parts))):
            raise _refusal(path, "R867", f"the name {name!a} is refused: a part of it is another member")


def _manifest(path: Path, data: bytes) -> dict[str, Any]:
    """The manifest, its form checked."""
    found: dict[str, Any] = _read_as(path, MANIFEST, data, parse_json, kept.MANIFEST)
    if found["version"] != VERSION:
        raise _refusal(path, "R866", f"its version is {found['version']}, and this program reads {VERSION}")
    return found


def _compare(path: Path, listed: Mapping[str, Any], found: Mapping[str, bytes]) -> None:
    """Hold the members to the manifest: the same names, sizes and hashes."""
    for name in sorted(listed.keys() | found.keys()):
        if name not in found:
            raise _refusal(path, "R869", f"`{name}` is in the manifest and not in the pack", exit_code=Exit.DIFFERS)
        if name not in listed:
            raise _refusal(path, "R869", f"`{name}` is in the pack and not in the manifest", exit_code=Exit.DIFFERS)
        if listed[name] != {"bytes": len(found[name]), "sha256": _sha256(found[name])}:
            raise _refusal(path, "R869", f"`{name}` is not what the manifest says", exit_code=Exit.DIFFERS)


def unpacked_packs() -> Path:
    """The folder of the cache in which packs are opened."""
    return cache_root() / "packs"


def unpack(pack: Pack) -> Path:
    """The folder with a pack's files, in the cache. A file that is missing there, or was changed, is replaced
    whole, and nothing is removed: another process may be running the recipe."""
    home = unpacked_packs() / pack.sha256[:32]
    write_members(pack, home)
    return home


def write_members(pack: Pack, folder: Path) -> None:
    """Write a pack's files into a folder, each whole, except those that are there already."""
    for name, data in pack.members.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, data)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _refusal(
    path: Path, code: str, problem: str, help: str | None = None, exit_code: Exit = Exit.INVALID
) -> RecipeError:
    way_out = help or "get the pack again from its author; nothing was unpacked"
    return RecipeError([Diagnostic(code, f"{path.name} is refused: {problem}", help=way_out)], exit_code)
