"""How messages name things and list words.

In: kinds of symbols, words. Out: pieces of English for titles, labels and helps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steerdsl.lang.lower.context import SymbolKind
from steerdsl.registry import entries

NOUNS: dict[SymbolKind, str] = {
    "vector": "a vector",
    "classes": "a set of class vectors",
    "plane": "a plane",
    "choice": "a choice of layers",
    "steer": "a steer",
    "data": "a data set",
    "param": "a param",
    "axis": "an axis",
    "tune": "what a search has chosen",
    "answers": "a set of answers",
    "scores": "an evaluation",
}


def example(kind: SymbolKind) -> str:
    """A statement that gives such a thing a name."""
    if kind == "classes":
        return "emotion = extract diffmean from classes of emotions by label"
    return next(entry.example for entry in entries("statement").values() if entry.gives == kind)


def listed(words: Iterable[str], last: str = "and") -> str:
    """`a`, `b` and `c`."""
    return joined([f"`{word}`" for word in words], last)


def either(words: Iterable[str]) -> str:
    """`a`, `b` or `c`."""
    return listed(words, "or")


def joined(parts: Sequence[str], last: str) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def nouns(kinds: Sequence[SymbolKind]) -> str:
    """What is wanted, when it may be several kinds of thing."""
    return joined([NOUNS[kind] for kind in kinds], "or")


def wanted(kinds: Sequence[SymbolKind]) -> str:
    return f"{nouns(kinds)} is wanted here"
