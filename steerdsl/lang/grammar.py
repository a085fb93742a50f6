"""The grammar as an object: Lark's parser, its tokens and the words that it reserves.

In: `grammars/steer.lark`, from the checkout or the installed package. Out: `lex` (text → tokens),
`Cursor` (a parser to feed tokens to) and the tables that messages, completion and highlighting read,
so that no list of keywords is written down twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lark import Lark, Token

STARTS = ("file", "statement", "unused")


def grammar_text() -> str:
    """Return the grammar; FileNotFoundError when the installation is broken."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "grammars", package.parent / "grammars"):
        path = folder / "steer.lark"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError("grammars/steer.lark is missing from this installation of steerdsl")


def _cache_file() -> str | bool:
    """Where the compiled grammar is kept; False (no cache) where the folder cannot be made.

    Lark stores the grammar's hash with it and compiles again when it is stale, torn or unreadable.
    """
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "steerdsl"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return str(folder / "grammar.bin")


@cache
def parser() -> Lark:
    """Return the LALR(1) parser of the language, compiled once and cached between processes."""
    return Lark(
        grammar_text(),
        parser="lalr",
        lexer="basic",
        start=list(STARTS),
        propagate_positions=True,
        cache=_cache_file(),
    )


class Cursor:
    """The parser, waiting for the next token of `start` ("file" or "statement")."""

    def __init__(self, start: str) -> None:
        self._parser: Any = parser().parse_interactive(start=start)

    def feed(self, token: Token) -> None:
        """Take one token; lark.UnexpectedToken when it does not fit, which spoils the cursor."""
        self._parser.feed_token(token)

    def end(self, last: Token | None) -> Any:
        """Return the tree of what was fed; lark.UnexpectedToken when something is missing."""
        return self._parser.feed_eof(last)

    def accepts(self) -> frozenset[str]:
        """Return the terminals that would fit next, "$END" where the text may end."""
        return frozenset(self._parser.accepts())


def lex(text: str) -> list[Token]:
    """Return every token but white space: comments, newlines and what nothing can hold included."""
    with_lexer: Any = parser().parse_interactive(text, start="file")
    return list(with_lexer.lexer_thread.lex(None))


@cache
def spellings() -> Mapping[str, str]:
    """Return how each fixed terminal is written: {"EXTRACT": "extract", "DOTDOT": "..", …}."""
    return MappingProxyType({t.name: t.pattern.value for t in parser().terminals if t.pattern.type == "str"})


@cache
def keywords() -> Mapping[str, str]:
    """Return the reserved words by terminal: {"EXTRACT": "extract", …}."""
    return MappingProxyType({name: word for name, word in spellings().items() if word.isalpha()})


@cache
def heads() -> frozenset[str]:
    """Return the terminals of the words that can begin a statement."""
    return Cursor("statement").accepts() & keywords().keys()


@cache
def clause_words() -> frozenset[str]:
    """Return the terminals of the words that stand inside a statement only."""
    return frozenset(keywords().keys() - heads())
