"""Which line ends end a statement: the pass between the lexer and the parser.

In: every token of the text. Out: the tokens that the grammar knows, with one `_NL` between two
statements and none elsewhere. A line continues the one above if it opens with a clause word or
is inside brackets, or if the line above ends with a comma; a `;` always separates.
An unclosed bracket or a stray comma stops continuing where a new statement obviously begins, so
that one mistake cannot swallow the statements after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lark import Token

from steerdsl.lang.grammar import BY_CONTEXT, READ, SIDE, SIDES, VERB, WHERE, clause_words, heads, verbs

OPENING = {"LPAR": "RPAR", "LSQB": "RSQB"}
CLOSING = frozenset(OPENING.values())
BEFORE = ("_NL", "LBRACE", "RBRACE")  # what precedes a statement, unless it is the first
INSIDE = frozenset({"OF", "STEP"})  # words that follow a name inside brackets
_TESTS = [[field, sign] for field in ("NAME", "STRING") for sign in ("COMPARE", "EQUAL")]  # `label == 1`


def lay_out(tokens: Iterable[Token]) -> list[Token]:
    """Drop comments and the line ends that separate nothing."""
    words = _by_context([t for t in tokens if t.type != "COMMENT"])
    kept: list[Token] = []
    depth = 0
    gap: list[Token] = []
    for i, token in enumerate(words):
        if token.type == "_NL":
            gap.append(token)
            continue
        if gap and _separates(kept, gap, words[i : i + 2], depth):
            kept.append(gap[0])
            depth = 0
        gap = []
        depth = _depth_after(token, depth)
        kept.append(_verb(token, words[i + 1 : i + 2]) if not kept or kept[-1].type in BEFORE else token)
    return kept


def _by_context(tokens: list[Token]) -> list[Token]:
    """The tokens with `where` as WHERE before a field and a comparison, the side before it as SIDE, and `read` as READ
    where a value or a statement begins and a name follows. No recipe without these has a name or a text there."""
    for i, token in enumerate(tokens):
        if token.type == "NAME" and token == "where" and [t.type for t in tokens[i + 1 : i + 3]] in _TESTS:
            tokens[i] = Token.new_borrow_pos(WHERE, token.value, token)
            if i and tokens[i - 1].type == "NAME" and tokens[i - 1] in SIDES:
                tokens[i - 1] = Token.new_borrow_pos(SIDE, tokens[i - 1].value, tokens[i - 1])
        begins = i == 0 or tokens[i - 1].type in (*BEFORE, "EQUAL")
        if token.type == "NAME" and token == "read" and begins and [t.type for t in tokens[i + 1 : i + 2]] == ["NAME"]:
            tokens[i] = Token.new_borrow_pos(READ, token.value, token)
    return tokens


def _verb(token: Token, following: Sequence[Token]) -> Token:
    """The first token of a statement: a VERB where it is the name of an operation that is not being defined."""
    acts = token.type == "NAME" and token in verbs() and not (following and following[0].type == "EQUAL")
    return Token.new_borrow_pos(VERB, token.value, token) if acts else token


def _depth_after(token: Token, depth: int) -> int:
    if token.type in OPENING:
        return depth + 1
    if token.type in CLOSING:
        return max(0, depth - 1)
    return 0 if token.type in ("LBRACE", "RBRACE") else depth


def _separates(kept: Sequence[Token], gap: Sequence[Token], coming: Sequence[Token], depth: int) -> bool:
    """Whether the line ends in `gap`, after `kept` and before `coming`, end a statement."""
    before = kept[-1].type if kept else "LBRACE"
    if before == "LBRACE" or coming[0].type == "RBRACE":
        return False
    if any(token == ";" for token in gap):
        return True
    if coming[0].type == "LBRACE":
        return False
    if opens_statement(coming, listed=before == "COMMA" and depth == 0):
        return True
    if depth > 0 or before == "COMMA":
        return False
    return before == "RBRACE" or coming[0].type not in clause_words() | BY_CONTEXT


def opens_statement(tokens: Sequence[Token], listed: bool = False) -> bool:
    """Whether a line that begins with these two tokens begins a statement, no matter what came before. `listed`: after
    a comma outside brackets, where a clause may follow the last name of a list."""
    first = tokens[0].type
    second = tokens[1].type if len(tokens) > 1 else ""
    if first != "NAME":
        return first in heads() and second != "COLON"
    acts = second == "NAME" or (not listed and second in clause_words() - INSIDE)
    return second == "EQUAL" or (acts and tokens[0] in verbs())
