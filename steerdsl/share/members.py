"""What a pack may hold: names that are safe on every system, and kinds of file that never run.

In: a member's name and bytes. Out: what is wrong with them, in a few words, or None.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from steerdsl.forms.files import Misread
from steerdsl.forms.text import parse_json

LONGEST = 200  # characters of a name
FOLDERS = ("recipe", "run")
# Names that Windows gives to devices, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_FORBIDDEN = frozenset('\\:*?"<>|')
_HEADER = 8  # bytes of a safetensors file that give the length of its header


def unsafe_name(name: str) -> str | None:
    """Why a file of this name cannot be written below a folder, on any system; None when it can."""
    parts = name.split("/")
    if not name or len(name) > LONGEST:
        return "it is empty" if not name else "it is too long"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "it is an absolute path"
    if ".." in parts:
        return "it leads out of its folder"
    if "" in parts or "." in parts:
        return "it has an empty part"
    # Control and format characters, surrogates, private and unassigned ones: what hides or reverses text.
    if any(unicodedata.category(c).startswith("C") or c in _FORBIDDEN for c in name):
        return "it has characters that file names may not have"
    if unicodedata.normalize("NFC", name) != name:
        return "its letters are not in the composed form"
    if any(part.endswith((".", " ")) or part.startswith(" ") for part in parts):
        return "a part of it ends in a dot or a space"
    if any(_DEVICES.fullmatch(part) for part in parts):
        return "it is the name of a device"
    return None


def same_on_some_system(name: str) -> str:
    """Equal for two names that are one file where letter case does not count."""
    return unicodedata.normalize("NFKC", name).casefold()


def wrong_kind(name: str, data: bytes) -> str | None:
    """Why a pack does not carry this file: its ending, or content that is not what the ending says."""
    path = PurePosixPath(name)
    check = KINDS.get(path.suffix.lower())
    if check is None:
        return f"`{path.suffix or path.name}` is not a kind of file that a pack can hold"
    return None if check(data) else f"it is not what its ending {path.suffix} says"


def _text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _utf16(data: bytes) -> bool:
    """Whether it is a text as spreadsheets save it, which says so by its first two bytes."""
    try:
        return data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and "\0" not in data.decode("utf-16")
    except UnicodeDecodeError:
        return False


def _safetensors(data: bytes) -> bool:
    length = int.from_bytes(data[:_HEADER], "little")
    if len(data) < _HEADER or length > len(data) - _HEADER:
        return False
    try:
        parse_json(data[_HEADER : _HEADER + length], dict)
    except Misread:
        return False
    return True


def _begins(magic: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(magic)


KINDS: Mapping[str, Callable[[bytes], bool]] = {
    **dict.fromkeys((".steer", ".lock", ".json", ".jsonl", ".md", ".svg", ".html"), _text),
    **dict.fromkeys((".csv", ".tsv", ".txt"), lambda data: _text(data) or _utf16(data)),
    ".safetensors": _safetensors,
    ".parquet": lambda data: data.startswith(b"PAR1") and data.endswith(b"PAR1"),
    ".gguf": _begins(b"GGUF"),
    ".png": _begins(b"\x89PNG\r\n\x1a\n"),
}
