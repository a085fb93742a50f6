"""What completion offers at a place."""

from __future__ import annotations

import pytest

from steerdsl.lang.complete import completions
from steerdsl.lang.grammar import statement_words
from steerdsl.lang.source import Source

TOPIC = 'topic = load "topic.gguf"\n'


def at_end(text: str) -> list[str]:
    return completions(Source("x.steer", text), len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab", ["ablate"]),
        ("topic = ex", ["extract"]),
        ("extract diffmean from econ vs generic du", ["during"]),
        (f"{TOPIC}ablate to", ["topic", "toward"]),
        (f"{TOPIC}steer a {{ rotate topic ad", ["adaptive"]),
        (f"{TOPIC}ablate topic\n    every", ["everywhere"]),
        (f"{TOPIC}ablate topic; every", []),
        (f"{TOPIC}select ", ["layers"]),
        ("ablate topic ad", ["adaptive"]),
        ("topic = ab", []),
    ],
)
def test_completions(text: str, expected: list[str]) -> None:
    assert at_end(text) == expected


def test_the_start_of_a_statement_offers_every_statement() -> None:
    everything = [*statement_words()]
    assert at_end("") == everything
    assert at_end("steer a { ") == everything
    assert at_end("ablate topic; ") == everything
