"""The colours: no character is lost, and words are told apart."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pygments import highlight
from pygments.formatters import NullFormatter
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, String

from steerdsl.lang.highlight import SteerLexer

RECIPE = """\
topic = extract diffmean from econ vs generic  # data
ablate plane(topic, pc1) at layers 8..22 with rows: "raw"; 5 @
"""


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_text_comes_back_whole(text: str) -> None:
    pieces = list(SteerLexer().get_tokens_unprocessed(text))
    assert "".join(piece for _, _, piece in pieces) == text
    assert [at for at, _, _ in pieces] == [sum(len(p) for _, _, p in pieces[:i]) for i in range(len(pieces))]


def test_pygments_prints_a_recipe_unchanged() -> None:
    assert highlight(RECIPE, SteerLexer(), NullFormatter()) == RECIPE


def test_kinds_of_words() -> None:
    kinds = {piece: kind for _, kind, piece in SteerLexer().get_tokens_unprocessed(RECIPE) if piece.strip()}
    expected = {
        "topic": Name,
        "=": Operator,
        "extract": Keyword,
        "diffmean": Name,
        "from": Keyword.Pseudo,
        "# data": Comment.Single,
        "plane": Name.Function,
        "8": Number,
        "..": Operator,
        "rows": Name.Attribute,
        '"raw"': String.Double,
        "@": Error,
    }
    assert {word: kinds[word] for word in expected} == expected
