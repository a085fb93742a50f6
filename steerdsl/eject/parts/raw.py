"""How a prompt is rendered without a chat template."""

from __future__ import annotations

from typing import Any


def rendered(tokenizer: Any, words: str) -> str:
    """The prompt as the model reads it: raw text, no chat template."""
    return words  # if: not newline
    return words + "\n"  # if: newline


def encode(tokenizer: Any, text: str) -> Any:
    """The tokens of a rendered prompt, and the characters that each stands for."""
    # Exactly one beginning-of-sequence token, where the tokenizer has one.
    begun = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    found = tokenizer(text, add_special_tokens=not begun, return_offsets_mapping=True)
    # Not the end token that some tokenizers put behind a text: the model is to go on.
    added = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"][::-1]
    end = len(found["input_ids"]) - (0 if begun else added.index(0))
    return {name: found[name][:end] for name in ("input_ids", "offset_mapping")}
