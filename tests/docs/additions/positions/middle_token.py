"""The token in the middle of a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.models.positions import TokenSpan
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from steerdsl.models.prompts import Rendered


def run(rendered: Rendered, number: int | None = None) -> TokenSpan:
    """The token at half of the length, the later one of two."""
    return TokenSpan((len(rendered.ids) // 2,))


ENTRY = Entry(
    "position",
    "middle_token",
    "the token in the middle of the rendered prompt",
    run,
    example="extract diffmean from econ vs generic at middle_token",
)
