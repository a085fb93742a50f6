"""The user's own words in a prompt."""

from __future__ import annotations

from typing import Any

from steerdsl.eject.parts.chat import encode, rendered

# Stands for the user's words while the template is taken apart.
MARK = "\ue000words\ue001"


def content_of(tokenizer: Any, text: str) -> range:
    """The tokens of the user's own words in a rendered prompt, the template's left out."""
    before, after = rendered(tokenizer, MARK).split(MARK)
    start, stop = len(before), len(text) - len(after)
    offsets = encode(tokenizer, text)["offset_mapping"]
    touching = [
        i
        for i, (a, b) in enumerate(offsets)
        if b > start and a < stop and b > a  # b == a: a special token, no characters
    ]
    return range(touching[0], touching[-1] + 1)
