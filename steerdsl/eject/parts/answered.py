"""Prompts as the model reads them, where rows bring an answer with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steerdsl.eject.parts.chat import encode, rendered
from steerdsl.eject.parts.content import content_of
from steerdsl.eject.parts.settings import OPENING


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


def joint(text: str, reply: str) -> str:
    """What stands between a prompt and its answer."""
    if not reply or reply[0].isspace():
        return ""
    return OPENING  # if: opening
    return "" if not text or text[-1].isspace() else " "  # if: not opening


def follow(tokenizer: Any, text: str, ids: list[int], reply: str) -> list[int]:
    """The tokens of an answer right behind a prompt."""
    more = joint(text, reply) + reply
    # Tokenized with the prompt, as the model would go on; alone where they would merge.
    whole = list(encode(tokenizer, text + more)["input_ids"])
    if whole[: len(ids)] == ids and len(whole) > len(ids):
        return whole[len(ids) :]
    return list(tokenizer(more, add_special_tokens=False)["input_ids"])


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
        more = follow(tokenizer, text, ids, reply) if reply else []
        answer = range(len(ids), len(ids) + len(more))
        text, ids = text + joint(text, reply) + reply, ids + more
        prompts.append(Prompt(row, words, text, ids, answer))  # if: not content
        prompts.append(Prompt(row, words, text, ids, answer, content))  # if: content
    return prompts
