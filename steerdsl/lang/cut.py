"""Cutting a broken file into statements, so that each can be parsed alone.

In: laid-out tokens. Out: `Piece`s, nested where braces nest. Braces that do not match are reported
here, since no single statement can see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lark import Token

from steerdsl.lang.build import token_span
from steerdsl.lang.diagnostics import Report


@dataclass(slots=True)
class Piece:
    """One statement's tokens, up to and with its `{`; `body` is None where it has no block.
    `glued` says that nothing separates it from the `}` before it."""

    tokens: list[Token]
    body: list[Piece] | None = None
    close: Token | None = None
    glued: bool = False


@dataclass(slots=True)
class Cutter:
    tokens: Sequence[Token]
    report: Report
    at: int = 0
    fresh: bool = True  # nothing of a statement is before `at` on this line
    guess_ends: bool = field(init=False)

    def __post_init__(self) -> None:
        kinds = [t.type for t in self.tokens]
        self.guess_ends = kinds.count("LBRACE") > kinds.count("RBRACE")

    def file(self) -> list[Piece]:
        """Return every statement; a `}` that closes nothing is reported and skipped."""
        pieces = self.block(None)
        while self.at < len(self.tokens):
            self.report.add("S104", "`}` closes nothing", token_span(self.tokens[self.at]), help="remove it")
            self.at += 1
            pieces += self.block(None)
        return pieces

    def block(self, owner: Piece | None) -> list[Piece]:
        """Read statements up to the `}` that ends the block, or to where it must have been meant."""
        pieces: list[Piece] = []
        self.fresh = True
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.type == "RBRACE" or (owner and self.fresh and self._left(owner, token)):
                break
            if token.type == "_NL":
                self.at += 1
                self.fresh = True
                continue
            pieces.append(self._piece(glued=not self.fresh))
        return pieces

    def _left(self, owner: Piece, token: Token) -> bool:
        """Whether `token` is not deeper than the statement whose block is open."""
        first = owner.tokens[0]
        return self.guess_ends and (token.line or 0) > (first.line or 0) and (token.column or 0) <= (first.column or 0)

    def _piece(self, glued: bool) -> Piece:
        piece = Piece([], glued=glued)
        while self.at < len(self.tokens) and self.tokens[self.at].type not in ("_NL", "RBRACE"):
            token = self.tokens[self.at]
            piece.tokens.append(token)
            self.at += 1
            if token.type == "LBRACE":
                self._body(piece, token)
                break
        return piece

    def _body(self, piece: Piece, brace: Token) -> None:
        piece.body = self.block(piece)
        if self.at < len(self.tokens) and self.tokens[self.at].type == "RBRACE":
            piece.close = self.tokens[self.at]
            self.at += 1
            self.fresh = False
        else:
            self.report.add("S103", "this brace is never closed", token_span(brace), help="end the block with `}`")
