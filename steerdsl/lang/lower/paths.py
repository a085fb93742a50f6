"""Paths in a recipe: inside its own folder, or in a folder that the command line allows.

In: a text as written. Out: the path relative to the recipe's folder (an absolute one only where a
folder is allowed), or None after a message. What links point to is looked at when a file is opened.
"""

from __future__ import annotations

import posixpath
import re

from steerdsl.lang.lower.context import Context
from steerdsl.lang.nodes import Text

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


def _allowed(ctx: Context, text: str) -> bool:
    plain = posixpath.normpath(text)
    return any(plain == folder or plain.startswith(folder.rstrip("/") + "/") for folder in ctx.shared.folders)


def ending(path: str) -> str:
    """The file's ending with its dot, in lower case."""
    return posixpath.splitext(path)[1].lower()
