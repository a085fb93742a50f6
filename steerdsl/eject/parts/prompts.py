"""Prompts as the model reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from steerdsl.eject.parts.settings import CALENDAR, OPENING, SWITCH, SYSTEM
from steerdsl.models.prompts import Rendered, _span, appended
from steerdsl.models.templates import MARK


def rendered(tokenizer: Any, words: str) -> str:
    """The user's words as the model reads them, up to where its answer begins."""
    messages = [{"role": "user", "content": words}]  # if: chat
    messages.insert(0, {"role": "system", "content": SYSTEM})  # if: system
    messages.insert(0, {"role": "developer", "content": SYSTEM})  # if: developer
    text: str = tokenizer.apply_chat_template(  # if: chat
        messages,  # if: chat
        chat_template=CALENDAR + tokenizer.get_chat_template(),  # if: dated
        add_generation_prompt=True,  # if: chat
        tokenize=False,  # if: chat
        **SWITCH,  # if: switched
    )  # if: chat
    return text  # if: chat
    return words  # if: raw
    return words + "\n"  # if: newline


def encode(tokenizer: Any, text: str) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """The tokens of a rendered prompt, and the characters that each stands for."""
    # The template has written the special tokens already; a second beginning-of-sequence  # if: chat
    # token would change every activation.  # if: chat
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)  # if: chat
    return tuple(found["input_ids"]), found["offset_mapping"]  # if: chat
    # Exactly one beginning-of-sequence token, where the tokenizer has one.  # if: not chat
    begun = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)  # if: not chat
    found = tokenizer(text, add_special_tokens=not begun, return_offsets_mapping=True)  # if: not chat
    # Not the end token that some tokenizers put behind a text: the model is to go on.  # if: not chat
    end = len(found["input_ids"]) - (0 if begun else appended(tokenizer))  # if: not chat
    return tuple(found["input_ids"][:end]), found["offset_mapping"][:end]  # if: not chat


def joint(text: str, reply: str) -> str:
    """The text between a prompt and its answer."""
    if reply[:1].isspace():
        return ""
    return OPENING  # if: opening
    return "" if not text or text[-1].isspace() else " "  # if: not opening


def follow(tokenizer: Any, text: str, ids: tuple[int, ...], reply: str) -> tuple[int, ...]:
    """The tokens of an answer right behind a prompt."""
    more = joint(text, reply) + reply
    # Tokenized with the prompt, as the model would go on; alone where they would merge.
    whole, _ = encode(tokenizer, text + more)
    if whole[: len(ids)] == ids and len(whole) > len(ids):
        return whole[len(ids) :]
    return tuple(tokenizer(more, add_special_tokens=False)["input_ids"])


def render(
    tokenizer: Any,
    words: str,
    reply: str | None = None,  # if: answers
) -> Rendered:
    """One prompt, ready to be continued.

    reply: an answer that the data gives, which the prompt is continued by.  # if: answers
    """
    text = rendered(tokenizer, words)
    ids, offsets = encode(tokenizer, text)
    before, after = rendered(tokenizer, MARK).split(MARK)
    content = _span(offsets, len(before), len(text) - len(after))
    response = None  # if: answers
    if reply is not None:  # if: answers
        added = follow(tokenizer, text, ids, reply)  # if: answers
        response = (len(ids), len(ids) + len(added))  # if: answers
        text, ids = text + joint(text, reply) + reply, ids + added  # if: answers
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Rendered(text, ids, content, sha256, response)  # if: answers
    return Rendered(text, ids, content, sha256)  # if: not answers


def read_prompts(tokenizer: Any, rows: Mapping[int, Any]) -> list[Rendered]:
    """The prompts of a data set."""
    return [render(tokenizer, words) for words in rows.values()]  # if: not answers
    return [render(tokenizer, *both) for both in rows.values()]  # if: answers
