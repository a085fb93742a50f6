"""Terminals in plain words, for messages.

In: the set of terminals that a parser would take. Out: "a name", "a clause or a new line".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lark import Token

from steerdsl.lang.grammar import clause_words, heads, spellings

LONGEST = 40
# How people write units, and how the language does.
UNIT_SPELLINGS = {
    **dict.fromkeys(("deg", "degree", "degrees", "°"), "deg"),
    **dict.fromkeys(("rad", "radian", "radians"), "rad"),
    **dict.fromkeys(("turn", "turns", "revolution", "revolutions"), "turn"),
    **dict.fromkeys(("%", "percent", "pct"), "%"),
}
# A drive's path, or names joined by backslashes that end like a file.
WINDOWS = re.compile(
    r"[A-Za-z]:\\.*|[\w.-]*(?:\\{1,2}[\w.-]+)+\.(?:jsonl?|[ct]sv|txt|md|parquet|gguf|safetensors|pt|np[yz]|steer|png|svg)"
)
VALUE = frozenset({"NAME", "QUANTITY", "STRING"})
OPERATORS = frozenset({"PLUS", "MINUS", "TIMES", "DOTDOT", "COMMA", "LPAR", "LSQB", "OF", "STEP", "COLON"})
END = frozenset({"$END", "_NL"})
KINDS = (("NAME", "a name"), ("QUANTITY", "a number"), ("STRING", "a quoted string"), ("COMPARE", "a comparison"))


def quote(text: str) -> str:
    """Return the text between backquotes, cut where it is too long to read."""
    return f"`{text}`" if len(text) <= LONGEST else f"`{text[:LONGEST]}…`"


def touch(left: Token, right: Token) -> bool:
    """Whether two tokens are adjacent."""
    return (left.start_pos or 0) + len(left) == right.start_pos


def spelt(tokens: Sequence[Token]) -> str:
    """The tokens as one text, with a space wherever something stood between two of them."""
    text = ""
    for i, token in enumerate(tokens):
        text += f" {token}" if i and not touch(tokens[i - 1], token) else str(token)
    return text


def windows_path(text: str) -> bool:
    """Whether a text, as it is written in a recipe, is a path of Windows."""
    return WINDOWS.fullmatch(text) is not None


def path_help(text: str) -> str:
    """How a path is written here: in quotes, with `/`; what is on another drive must be copied first."""
    plain = text.replace("\\\\", "/").replace("\\", "/")
    if re.match("[A-Za-z]:", plain):
        return f'copy the file into the recipe\'s folder and write `"{plain.rpartition("/")[2]}"`'
    return "write " + quote(f'"{plain}"')


def found(token: Token | None) -> str:
    """Name what is in the way: "`from`", "the number `3`", "the end of the statement"."""
    if token is None or token.type in ("$END", "_NL"):
        return "the end of the statement"
    if token.type == "QUANTITY":
        return f"the number {quote(token)}"
    return "a quoted string" if token.type == "STRING" else quote(token)


def expected(terminals: Iterable[str]) -> str:
    """Say what would fit, most useful first, joined by commas and "or"."""
    left = set(terminals)
    words: list[str] = []
    if left >= VALUE:
        words.append("a value")
        left -= VALUE | {"MINUS", "LPAR", "LSQB"} | heads()
    if left & END:
        left -= OPERATORS
    clauses = left & clause_words()
    if len(clauses) > 4:
        words.append("a clause")
        left -= clauses
    if left >= heads():
        words.append("a statement")
        left -= heads() | {"NAME"}
    for kind, plain in KINDS:
        if kind in left:
            words.append(plain)
    words += sorted(f"`{spellings()[name]}`" for name in left if name in spellings())
    if left & END:
        words.append("the end of the statement")
    return join(words)


def join(words: list[str]) -> str:
    """Return "a", "a or b", "a, b or c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1] if words else "nothing more"
