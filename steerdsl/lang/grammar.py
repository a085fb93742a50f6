"""The grammar as an object: Lark's parser, its tokens and the words that it reserves.

In: `grammars/steer.lark`, from the checkout or the installed package. Out: `lex` (text → tokens),
`Cursor` (a parser to feed tokens to) and the tables that messages, completion and highlighting read,
so that no list of keywords is written down twice.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lark import Lark, Token
from lark import __version__ as lark_version
from lark.grammar import Rule
from lark.lexer import TerminalDef

from steerdsl.forms.files import read_bytes
from steerdsl.registry import Entry, entries

VERB = "VERB"  # the terminal of an operation's name; it has no fixed text
WHERE, SIDE, READ, TUNE, GOAL, SUBJECT = "WHERE", "SIDE", "READ", "TUNE", "GOAL", "SUBJECT"
MEASURE = "MEASURE"  # the word behind a strength that says what it is measured in
SIDES = ("positive", "negative")
# Words that are reserved nowhere: `layout` gives them their terminal where they mean something.
SOFT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        WHERE: ("where",),
        SIDE: SIDES,
        READ: ("read",),
        TUNE: ("tune",),
        GOAL: ("maximize", "minimize"),
        SUBJECT: ("subject",),
        MEASURE: ("sd", "dose"),
    }
)
STARTS = ("file", "statement", "unused")
OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"parser": "lalr", "lexer": "basic", "start": list(STARTS), "propagate_positions": True}
)
LARGEST = 4 << 20  # bytes of the compiled grammar; it has a fortieth of it


def grammar_text() -> str:
    """Return the grammar; FileNotFoundError when the installation is broken."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "grammars", package.parent / "grammars"):
        path = folder / "steer.lark"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError("grammars/steer.lark is missing from this installation of steerdsl")


@cache
def parser() -> Lark:
    """Return the LALR(1) parser of the language, compiled once and kept between processes."""
    text = grammar_text()
    key = sha256(f"{lark_version}/{sys.version}/{OPTIONS}/{text}".encode()).hexdigest()
    file = _cache_file()
    kept = None if file is None else _kept(file, key)
    if kept is not None:
        return kept
    made = Lark(text, **OPTIONS)
    if file is not None:
        _keep(made, file, key)
    return made


def _cache_file() -> Path | None:
    """Where the compiled grammar is kept; None where the folder cannot be made or somebody else can write there."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "steerdsl"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
    except OSError:
        return None
    ours = not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o022)
    return folder / "grammar.json" if ours else None


def _kept(file: Path, key: str) -> Lark | None:
    """The parser in a file; None where there is none, and where it is of another grammar, torn or changed.

    The file has a line with the key and the hash of the rest, which is JSON: nothing in it can run.
    """
    try:
        head, _, body = read_bytes(file, LARGEST).partition(b"\n")
        if head.decode() != f"{key} {sha256(body).hexdigest()}":
            return None
        return Lark.__new__(Lark)._load(_with_numbers(json.loads(body)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _keep(made: Lark, file: Path, key: str) -> None:
    """Write a parser to a file, whole or not at all."""
    data, memo = made.memo_serialize([TerminalDef, Rule])
    body = json.dumps({"data": data, "memo": memo}, separators=(",", ":")).encode()
    partial = file.with_suffix(f".{os.getpid()}")
    try:
        partial.write_bytes(f"{key} {sha256(body).hexdigest()}\n".encode() + body)
        partial.replace(file)
    except OSError:
        return  # a cache that cannot be written costs time only


def _with_numbers(kept: Any) -> Any:
    """What `_keep` wrote, with the numbers of states, tokens and rules, which JSON keeps as text where they are
    names."""
    table = kept["data"]["parser"]["parser"]
    table["tokens"] = _numbered(table["tokens"])
    table["states"] = {int(state): _numbered(moves) for state, moves in table["states"].items()}
    return {**kept, "memo": _numbered(kept["memo"])}


def _numbered(named: Mapping[str, Any]) -> dict[int, Any]:
    return {int(name): value for name, value in named.items()}


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


def verbs() -> Mapping[str, Entry]:
    """Return the operations by name: words that begin a statement and are reserved nowhere."""
    return entries("op")


@cache
def heads() -> frozenset[str]:
    """Return the terminals of the words that can begin a statement, VERB among them."""
    return Cursor("statement").accepts() & {*keywords(), VERB, *SOFT}


@cache
def statement_words() -> tuple[str, ...]:
    """Return every word that can begin a statement, in alphabetical order."""
    return tuple(sorted(word for head in heads() for word in words_of(head)))


def words_of(terminal: str) -> tuple[str, ...]:
    """Return the words that a terminal stands for; none for one that is no word."""
    if terminal == VERB:
        return tuple(verbs())
    return SOFT.get(terminal, (keywords()[terminal],) if terminal in keywords() else ())


@cache
def clause_words() -> frozenset[str]:
    """Return the terminals of the words that stand inside a statement only."""
    return frozenset(keywords().keys() - heads())
