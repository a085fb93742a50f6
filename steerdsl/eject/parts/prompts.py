"""Prompts as the model reads them, where no row brings an answer with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steerdsl.eject.parts.chat import encode, rendered
from steerdsl.eject.parts.content import content_of


@dataclass
class Prompt:
    """One prompt as the model reads it.

    row: its place in the data set. words: what the user says. text: the whole of it,
    rendered. ids: its tokens.
    content: the tokens that are the user's own words.  # if: content
    """

    row: int
    words: str
    text: str
    ids: list[int]
    content: range = range(0)  # if: content


def read_prompts(tokenizer: Any, rows: Mapping[int, str]) -> list[Prompt]:
    """Render and tokenize the rows of a data set."""
    prompts = []
    for row, words in rows.items():
        text = rendered(tokenizer, words)
        ids = list(encode(tokenizer, text)["input_ids"])
        content = content_of(tokenizer, text)  # if: content
        prompts.append(Prompt(row, words, text, ids))  # if: not content
        prompts.append(Prompt(row, words, text, ids, content))  # if: content
    return prompts
