"""Colours for recipes, for Pygments (rich, documentation builders).

In: text. Out: Pygments tokens. The words come from the grammar's own lexer, so that a new keyword
needs no second list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from lark import Token as Word
from pygments.lexer import Lexer
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String, Text, _TokenType

from steerdsl.lang.build import token_span
from steerdsl.lang.grammar import MEASURE, SIDE, SOFT, SUBJECT, VERB, WHERE, clause_words, heads, lex
from steerdsl.lang.layout import lay_out

FIXED = {
    "COMMENT": Comment.Single,
    "STRING": String.Double,
    "OPEN_STRING": Error,
    "BAD": Error,
    "QUANTITY": Number,
    "COMPARE": Operator,
    "PLUS": Operator,
    "MINUS": Operator,
    "TIMES": Operator,
    "EQUAL": Operator,
    "DOTDOT": Operator,
}


class SteerLexer(Lexer):  # type: ignore[misc]
    """The steer language."""

    name = "Steer"
    aliases: ClassVar[list[str]] = ["steer"]
    filenames: ClassVar[list[str]] = ["*.steer"]
    mimetypes: ClassVar[list[str]] = ["text/x-steer"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        """Yield (offset, kind, text) for every character of `text`."""
        words = lex(text)
        soft = {word.start_pos: word.type for word in lay_out(words) if word.type in (VERB, *SOFT)}
        at = 0
        for i, word in enumerate(words):
            span = token_span(word)
            if at < span.start:
                yield at, Text.Whitespace, text[at : span.start]
            following = words[i + 1].type if i + 1 < len(words) else ""
            meant = soft.get(word.start_pos)
            value = word.type == "ON" and i > 0 and words[i - 1].type == "COLON"
            own = Keyword.Pseudo if meant in (WHERE, SIDE, SUBJECT, MEASURE) else Keyword
            yield span.start, Name if value else own if meant else _kind(word, following), str(word)
            at = span.end
        if at < len(text):
            yield at, Text.Whitespace, text[at:]


def _kind(word: Word, following: str) -> _TokenType:
    if word.type == "_NL":
        return Punctuation if word == ";" else Text.Whitespace
    if word.type in FIXED:
        return FIXED[word.type]
    if following == "COLON":
        return Name.Attribute
    if word.type in heads():
        return Keyword
    if word.type in clause_words():
        return Keyword.Pseudo
    if word.type == "NAME":
        return {"LPAR": Name.Function, "EQUAL": Name.Variable}.get(following, Name)
    return Punctuation
