"""Prompts as the model reads them, where rows bring an answer with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steerdsl.eject.parts.chat import encode, rendered
from steerdsl.eject.parts.content import content_of


@dataclass
class Prompt:
    """One prompt as the model reads it, with an answer behind it that the data gives.

    row: its place in the data set. words: what the user says. text: the whole of it,
    rendered. ids: its tokens. answer: the tokens that are the answer.
    content: the tokens that are the user's own words.  # if: content
    """

    row: int
    words: str
    text: str
    ids: list[int]
    answer: range
    content: range = range(0)  # if: content


def read_prompts(
    tokenizer: Any,
    rows: Mapping[int, tuple[str, str]],
) -> list[Prompt]:
    """Render and tokenize the rows of a data set; an empty answer is none."""
    prompts = []
    for row, (words, reply) in rows.items():
        text = rendered(tokenizer, words)
        ids = list(encode(tokenizer, text)["input_ids"])
        content = content_of(tokenizer, text)  # if: content
        # The answer is tokenized alone: the model writes it after the prompt's tokens.
        more = tokenizer(reply, add_special_tokens=False)["input_ids"]
        answer = range(len(ids), len(ids) + len(more))
        text, ids = text + reply, ids + more
        prompts.append(Prompt(row, words, text, ids, answer))  # if: not content
        prompts.append(Prompt(row, words, text, ids, answer, content))  # if: content
    return prompts
