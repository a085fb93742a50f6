"""How a prompt is rendered where the model has a chat template."""

from __future__ import annotations

from typing import Any

from steerdsl.eject.parts.settings import CALENDAR, SYSTEM


def rendered(tokenizer: Any, words: str) -> str:
    """The user's words in the chat template, up to where the model's answer begins."""
    messages = [{"role": "user", "content": words}]
    messages.insert(0, {"role": "system", "content": SYSTEM})  # if: system
    text: str = tokenizer.apply_chat_template(
        messages,
        chat_template=CALENDAR + tokenizer.get_chat_template(),  # if: dated
        add_generation_prompt=True,
        tokenize=False,
    )
    return text


def encode(tokenizer: Any, text: str) -> Any:
    """The tokens of a rendered prompt, and the characters that each stands for."""
    # The template has written the special tokens already; a second
    # beginning-of-sequence token would change every activation.
    return tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
