"""What may be typed next.

In: a source and an offset. Out: the words of the language and the names of the recipe that fit there.
"""

from __future__ import annotations

import re

from lark import Token

from steerdsl.lang.failure import fail_at
from steerdsl.lang.grammar import clause_words, heads, lex, words_of
from steerdsl.lang.layout import lay_out
from steerdsl.lang.source import Source

STARTED = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
DEFINING = ("STEER", "DATASET", "PARAM", "SWEEP")


def completions(source: Source, offset: int) -> list[str]:
    """Return, sorted, what may come at `offset` and begins like the word typed there so far."""
    before = source.text[:offset]
    match = STARTED.search(before)
    typed = match[0] if match else ""
    before = before[: len(before) - len(typed)]
    expected = _expected(before)
    words = {word for t in expected for word in words_of(t)}
    if expected & {"NAME"} and not expected >= heads():
        words |= _names(lex(source.text))
    return sorted(word for word in words if word.startswith(typed) and word != typed)


def _expected(before: str) -> frozenset[str]:
    """The terminals that fit after this text, be it inside a statement or at the start of one."""
    tokens = lex(before)
    current = _statement(lay_out(tokens))
    failure = fail_at(current)
    inside = failure.expected if failure.at >= len(current) else frozenset()
    last = tokens[-1].type if tokens else "_NL"
    if last in ("LBRACE", "RBRACE") or not current:
        return heads() | {"NAME"}
    if last == "_NL" and "$END" in inside:
        return heads() | {"NAME"} | (inside & clause_words() if tokens[-1] != ";" else frozenset())
    return inside


def _statement(tokens: list[Token]) -> list[Token]:
    """The tokens of the statement that is being written."""
    starts = [i for i, t in enumerate(tokens) if t.type in ("_NL", "LBRACE", "RBRACE")]
    return tokens[starts[-1] + 1 :] if starts else tokens


def _names(tokens: list[Token]) -> set[str]:
    """What the recipe defines: bindings, steers, data sets, params and axes."""
    pairs = zip(["", *(t.type for t in tokens)], tokens, [*(t.type for t in tokens[1:]), ""], strict=False)
    return {str(t) for last, t, then in pairs if t.type == "NAME" and (then in ("EQUAL", "OVER") or last in DEFINING)}
