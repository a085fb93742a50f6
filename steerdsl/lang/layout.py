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

from steerdsl.lang.grammar import (
    GOAL,
    MEASURE,
    READ,
    SIDE,
    SIDES,
    SOFT,
    SUBJECT,
    TUNE,
    VERB,
    WHERE,
    clause_words,
    heads,
    verbs,
)

OPENING = {"LPAR": "RPAR", "LSQB": "RSQB"}
CLOSING = frozenset(OPENING.values())
BEFORE = ("_NL", "LBRACE", "RBRACE")  # what precedes a statement, unless it is the first
INSIDE = frozenset({"OF", "STEP"})  # words that follow a name inside brackets
AMOUNTS = frozenset({"BY", "TO", "TOWARD", "AGAINST"})
VALUES = frozenset({"QUANTITY", "NAME", *CLOSING})  # what a value ends with
_TESTS = [[field, sign] for field in ("NAME", "STRING") for sign in ("COMPARE", "EQUAL")]  # `label == 1`
_SIDED = [["NAME", "COLON"], ["KEEP", "WHEN"]]  # `positive system:`, `positive keep when`


def lay_out(tokens: Iterable[Token]) -> list[Token]:
    """Drop comments and the line ends that separate nothing."""
    words = _by_context([t for t in tokens if t.type != "COMMENT"])
    kept: list[Token] = []
    depth = 0
    head = ""  # the terminal that the present statement begins with
    gap: list[Token] = []
    for i, token in enumerate(words):
        if token.type == "_NL":
            gap.append(token)
            continue
        continues = head == GOAL and _subject(words[i : i + 2]) and all(line != ";" for line in gap)
        if gap and not continues and _separates(kept, gap, words[i : i + 2], depth):
            kept.append(gap[0])
            depth = 0
        gap = []
        depth = _depth_after(token, depth)
        begins = not kept or kept[-1].type in BEFORE
        found = _meant(token, words[i + 1 : i + 3], kept[-1].type if kept and not begins else "", head)
        head = found.type if begins else head
        kept.append(found)
    return kept


def _by_context(tokens: list[Token]) -> list[Token]:
    """The tokens with `where` as WHERE before a field and a comparison, the side before it, before `keep when` and
    before an option's name as SIDE, `read` as READ where a value or a statement begins and a name follows, and `sd` or
    `dose` as MEASURE where it follows the value of a `by` or the like. No recipe without these has a name or a text
    there."""
    ends = clause_words() | {"_NL", "LBRACE", "RBRACE"}
    amount = False  # whether the clause at hand is one of `AMOUNTS`
    for i, token in enumerate(tokens):
        amount = token.type in AMOUNTS or (amount and token.type not in ends)
        if amount and token.type == "NAME" and token in SOFT[MEASURE] and tokens[i - 1].type in VALUES:
            tokens[i] = Token.new_borrow_pos(MEASURE, token.value, token)
            amount = False
        if token.type == "NAME" and token == "where" and [t.type for t in tokens[i + 1 : i + 3]] in _TESTS:
            tokens[i] = Token.new_borrow_pos(WHERE, token.value, token)
            if i and tokens[i - 1].type == "NAME" and tokens[i - 1] in SIDES:
                tokens[i - 1] = Token.new_borrow_pos(SIDE, tokens[i - 1].value, tokens[i - 1])
        if token.type == "NAME" and token in SIDES and _following(tokens, i) in _SIDED:
            tokens[i] = Token.new_borrow_pos(SIDE, token.value, token)
        begins = i == 0 or tokens[i - 1].type in (*BEFORE, "EQUAL")
        if token.type == "NAME" and token == "read" and begins and [t.type for t in tokens[i + 1 : i + 2]] == ["NAME"]:
            tokens[i] = Token.new_borrow_pos(READ, token.value, token)
    return tokens


def _following(tokens: Sequence[Token], place: int) -> list[str]:
    """The types of the two tokens after one, whatever lines they are on."""
    found: list[str] = []
    for token in tokens[place + 1 :]:
        if token.type != "_NL" or token == ";":
            found.append(token.type)
        if len(found) == 2:
            break
    return found


def _meant(token: Token, following: Sequence[Token], before: str, head: str) -> Token:
    """A name with the terminal that it has where it stands: a VERB where a statement begins that acts, or a word of
    a search. `before` is the terminal before it in its statement, "" where it is the first."""
    kinds = [t.type for t in following]
    if token.type != "NAME":
        return token
    kind = ""
    if token in SOFT[TUNE] and before in ("", "EQUAL") and kinds == ["NAME", "OVER"]:
        kind = TUNE
    elif not before and kinds[:1] != ["EQUAL"]:
        kind = VERB if token in verbs() else GOAL if token in SOFT[GOAL] else ""
    elif head == GOAL and _subject([token, *following]):
        kind = SUBJECT
    return Token.new_borrow_pos(kind, token.value, token) if kind else token


def _subject(tokens: Sequence[Token]) -> bool:
    """Whether these tokens begin with `subject to`."""
    return tokens[0] in SOFT[SUBJECT] and len(tokens) > 1 and tokens[1].type == "TO"


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
    return before == "RBRACE" or coming[0].type not in clause_words() | {WHERE, SIDE}


def opens_statement(tokens: Sequence[Token], listed: bool = False) -> bool:
    """Whether a line that begins with these two tokens begins a statement, no matter what came before. `listed`: after
    a comma outside brackets, where a clause may follow the last name of a list."""
    first = tokens[0].type
    second = tokens[1].type if len(tokens) > 1 else ""
    if first != "NAME":
        return first in heads() and second != "COLON"
    acts = second == "NAME" or (not listed and second in clause_words() - INSIDE)
    return second == "EQUAL" or (acts and tokens[0] in (*verbs(), *SOFT[TUNE], *SOFT[GOAL]))
