"""A recipe with its words marked by what they are.

In: the text of a recipe, be it right or wrong. Out: a block whose text is the recipe's, character by character.
"""

from __future__ import annotations

from itertools import groupby

from pygments.token import Comment, Error, Keyword, Name, Number, String

from steerdsl.lang.highlight import SteerLexer
from steerdsl.show.report.html import Html, joined, tag

LONGEST = 200_000  # characters that are marked: what is longer stays plain
CLASSES = (
    (Comment, "comment"),
    (String, "string"),
    (Number, "number"),
    (Error, "wrong"),
    (Keyword.Pseudo, "clause"),
    (Keyword, "word"),
    (Name.Function, "call"),
    (Name.Attribute, "option"),
    (Name.Variable, "name"),
)


def words(text: str) -> list[tuple[str | None, str]]:
    """The text in pieces, each with the class of what it is; None for what has none. They join to the text."""
    if len(text) > LONGEST:
        return [(None, text)]
    found = ((_class(kind), value) for _, kind, value in SteerLexer().get_tokens_unprocessed(text))
    return [(name, "".join(value for _, value in run)) for name, run in groupby(found, key=lambda piece: piece[0])]


def code(text: str) -> Html:
    """The recipe as a block."""
    marked = (value if name is None else tag("span", value, class_=f"k-{name}") for name, value in words(text))
    return tag("pre", tag("code", joined(marked)), class_="recipe")


def _class(kind: object) -> str | None:
    return next((name for known, name in CLASSES if kind in known), None)
