"""Terminals in plain words, for messages.

In: the set of terminals that a parser would take. Out: "a name", "a clause or a new line".
"""

from __future__ import annotations

from collections.abc import Iterable

from lark import Token

from steerdsl.lang.grammar import clause_words, heads, spellings

LONGEST = 40
VALUE = frozenset({"NAME", "QUANTITY", "STRING"})
OPERATORS = frozenset({"PLUS", "MINUS", "TIMES", "DOTDOT", "COMMA", "LPAR", "LSQB", "OF", "STEP", "COLON"})
END = frozenset({"$END", "_NL"})
KINDS = (("NAME", "a name"), ("QUANTITY", "a number"), ("STRING", "a quoted string"), ("COMPARE", "a comparison"))


def quote(text: str) -> str:
    """Return the text between backquotes, cut where it is too long to read."""
    return f"`{text}`" if len(text) <= LONGEST else f"`{text[:LONGEST]}…`"


def found(token: Token | None) -> str:
    """Say what stands in the way: "`from`", "the number `3`", "the end of the statement"."""
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
