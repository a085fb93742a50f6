"""Paths in a recipe: files that it reads, inside its own folder or one that the command line allows, and
files that it writes, inside the run directory.

In: a text as written. Out: the path relative to the recipe's folder (an absolute one only where a
folder is allowed) or to the run directory, or None after a message. What links point to is looked at when
a file is opened.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from steerdsl.lang.diagnostics import Label
from steerdsl.lang.lower.context import Context
from steerdsl.lang.nodes import Text

# Files that every run directory has: no output may replace one of them or one of their folders.
OWN = ("record.json", "generations.jsonl", "scores.json", "scores.csv", "report.html", "vectors")
LONGEST = 150  # bytes of a name: a temporary one that is longer must fit too
DEEPEST = 20  # folders of an output's path
_OTHER_SYSTEM = re.compile(r"[\\:~\x00-\x1f]")


def inside(ctx: Context, path: Text) -> str | None:
    """The path, its `.` and `..` taken out, if it stays where a recipe may read and write."""
    text = path.value
    problem = help = ""
    if not text.strip():
        problem, help = "this path is empty", "name a file in the recipe's folder"
    elif _OTHER_SYSTEM.search(text) and not _allowed(ctx, text):
        problem, help = f"`{text}` is not a plain relative path", "use `/` between folders, and no `~`, `:` or `\\`"
    elif posixpath.isabs(text) and not _allowed(ctx, text):
        problem = f"`{text}` is outside the recipe's folder"
        help = "name a file in the recipe's folder, or allow another folder on the command line"
    elif not posixpath.isabs(text):
        joined = posixpath.normpath(posixpath.join(ctx.folder, text))
        if joined != ".." and not joined.startswith("../"):
            return joined + "/" if text.endswith("/") else joined
        problem = f"`{text}` leaves the recipe's folder"
        help = "move the file into the recipe's folder, or allow another folder on the command line"
    else:
        return posixpath.normpath(text)
    ctx.error("S312", problem, path, help=help)
    return None


def output(ctx: Context, path: Text) -> str | None:
    """The path of a file or folder that a recipe writes, relative to the run directory."""
    text = path.value
    plain = posixpath.normpath(text)
    parts = plain.split("/")
    help = 'name a file in the run directory, as in `"topic.png"`'
    if not text.strip() or plain == ".":
        problem = "this path names no file"
    elif _OTHER_SYSTEM.search(text):
        problem, help = f"`{text}` is not a plain relative path", "use `/` between folders, and no `~`, `:` or `\\`"
    elif posixpath.isabs(text) or parts[0] == "..":
        problem = f"`{text}` leads out of the run directory"
    elif len(parts) > DEEPEST or max(len(part.encode("utf-8", "replace")) for part in parts) > LONGEST:
        problem, help = "this path is too long", f"write names of at most {LONGEST} bytes, and fewer folders"
    elif parts[0].casefold() in OWN:
        problem, help = f"the run itself keeps `{parts[0]}`", "take another name"
    elif before := _taken(ctx, plain.casefold().split("/")):
        also = (before,)
        ctx.error("S321", f"two outputs have the path `{plain}`", path, also=also, help="rename one of them")
        return None
    else:
        _take(ctx, plain.casefold().split("/"), ctx.place(path, "written here first"))
        return plain + "/" if text.endswith("/") else plain
    ctx.error("S321", problem, path, help=help)
    return None


def _take(ctx: Context, parts: Sequence[str], place: Label) -> None:
    """Note an output and, with a `/` at the end, the folders around it."""
    ctx.shared.outputs["/".join(parts)] = place
    for n in range(1, len(parts)):
        ctx.shared.outputs.setdefault("/".join(parts[:n]) + "/", place)


def _taken(ctx: Context, parts: Sequence[str]) -> Label | None:
    """The output that has this path, is a folder of it or is in it. On some systems case does not count."""
    around = ("/".join(parts[:n]) for n in range(1, len(parts) + 1))
    found = (ctx.shared.outputs.get(path) for path in (*around, "/".join(parts) + "/"))
    return next((place for place in found if place is not None), None)


def _allowed(ctx: Context, text: str) -> bool:
    plain = posixpath.normpath(text)
    return any(plain == folder or plain.startswith(folder.rstrip("/") + "/") for folder in ctx.shared.folders)


def ending(path: str) -> str:
    """The file's ending with its dot, in lower case."""
    return posixpath.splitext(path)[1].lower()
