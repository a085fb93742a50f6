"""Where a statement stops parsing, and whether a repair would help.

In: one statement's tokens. Out: a `Failure` for `mistakes` to explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lark import Token, UnexpectedToken

from steerdsl.lang.build import token_span
from steerdsl.lang.grammar import Cursor
from steerdsl.lang.layout import CLOSING, OPENING
from steerdsl.lang.source import Span


@dataclass(frozen=True, slots=True)
class Mistake:
    code: str
    title: str
    span: Span
    help: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """`tokens[at]` does not fit (at == len(tokens): the statement ends too early); `expected` would."""

    tokens: Sequence[Token]
    at: int
    expected: frozenset[str]

    @property
    def token(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    @property
    def kind(self) -> str:
        return self.token.type if self.token is not None else "$END"

    @property
    def before(self) -> Token | None:
        return self.tokens[self.at - 1] if self.at else None

    @property
    def head(self) -> str:
        return self.tokens[0].type

    @property
    def span(self) -> Span:
        """Where the statement fails; just after it when it ends too early."""
        if self.token is not None:
            return token_span(self.token)
        end = token_span(self.tokens[-1]).end
        return Span(end, end + 1)

    def open_brackets(self) -> list[Token]:
        """The brackets before the failure that are not closed there, outermost first."""
        stack: list[Token] = []
        for token in self.tokens[: self.at]:
            if token.type in OPENING:
                stack.append(token)
            elif token.type in CLOSING and stack:
                stack.pop()
        return stack

    def helped_by(self, start: int, end: int, *instead: tuple[str, str]) -> bool:
        """Whether the statement parses beyond the repair when `instead` (terminal, text) replaces
        `tokens[start:end]`: the token after the repair must fit too."""
        new = [Token.new_borrow_pos(kind, text, self.tokens[0]) for kind, text in instead]
        tokens = [*self.tokens[:start], *new, *self.tokens[end:]]
        return fail_at(tokens).at > min(start + len(new), len(tokens))


def fail_at(tokens: Sequence[Token]) -> Failure:
    """Parse as far as it goes. A statement without error fails at one beyond its end."""
    cursor = Cursor("statement")
    for i, token in enumerate(tokens):
        try:
            cursor.feed(token)
        except UnexpectedToken:
            return Failure(tokens, i, fail_at(tokens[:i]).expected)
    expected = cursor.accepts()
    return Failure(tokens, len(tokens) + ("$END" in expected), expected)
