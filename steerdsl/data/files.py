"""From the path in a recipe to a file that the recipe may read.

In: the text of the path, the recipe's folder, the folders that the user allows. Out: the file, or
the fault. Nothing outside those folders is opened, whatever `..` and symbolic links say.
"""

from __future__ import annotations

from pathlib import Path

from steerdsl.data.faults import Fault
from steerdsl.forms.files import Misread, read_bytes, require_regular
from steerdsl.lang.diagnostics import nearest

_LISTED = 5
LARGEST = 256 << 20  # bytes


def find(text: str, root: Path, allowed: tuple[Path, ...] = ()) -> Path | Fault:
    """The file called `text`, relative to `root`, with links resolved.

    D502 when it is in neither `root` nor one of `allowed`, D501 when it is not a file.
    """
    folders = [folder.resolve() for folder in (root, *allowed)]
    try:
        path = (root / text).resolve()
    except (OSError, ValueError, RuntimeError):  # a null character, a loop of links
        return Fault("D501", f"{text!r} is not a path that can be followed", "check the path")
    if not any(path.is_relative_to(folder) for folder in folders):
        help = "move the file into the recipe's folder, or allow its folder on the command line"
        return Fault("D502", f"{text} is outside the recipe's folder", help)
    try:
        if path.is_dir():
            return Fault("D501", f"{text} is a folder, not a file", _listing(path, text))
        if not path.exists():
            return Fault("D501", f"there is no file {text}", _suggestion(path, text))
        require_regular(path)
    except Misread as error:
        return Fault("D501", str(error), "save its output to a file and name that file")
    except OSError as error:  # a name that is too long, a folder that is closed
        return Fault(
            "D501", f"{_short(text)} cannot be read: {(error.strerror or str(error)).lower()}", "check the path"
        )
    return path


def read(path: Path, text: str) -> bytes | Fault:
    """The file's bytes; D501 when the system refuses, D530 when it has more than `LARGEST`."""
    try:
        if require_regular(path).st_size > LARGEST:
            title = f"{text} has {path.stat().st_size:,} bytes, and a data file has at most {LARGEST:,}"
            return Fault("D530", title, "keep the rows that you use in a separate file")
        return read_bytes(path, LARGEST)
    except Misread as error:
        return Fault("D501", str(error), "save its output to a file and name that file")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Fault("D501", f"{text} cannot be read: {reason}", "check the file's permissions")


def _short(text: str) -> str:
    """A path as a message repeats it."""
    return text if len(text) <= 80 else f"{text[:40]}…{text[-39:]}"


def _suggestion(path: Path, text: str) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {Path(text).parent} either; paths start at the recipe's folder"
    near = nearest(path.name, _names(folder))
    if near:
        return f'did you mean "{Path(text).parent / near}"?'
    return _listing(folder, str(Path(text).parent))


def _listing(folder: Path, text: str) -> str:
    names = _names(folder)
    if not names:
        return f"the folder {text} holds no files"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"the folder {text} holds {', '.join(names[:_LISTED])}{more}"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(item.name for item in folder.iterdir() if item.is_file())
    except OSError:
        return []
