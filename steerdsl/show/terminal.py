"""The terminal on which commands print: whatever a text holds, it is shown and never obeyed.

In: rich renderables, as for rich's own `Console`. Out: the same, their texts passed through `visible`.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from steerdsl.show.visible import visible


class Terminal(Console):
    """rich's console, which sends a text's escape sequences on to the terminal, but without that."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        # Before a text is broken into lines, so that the escapes have room. Every part of a table comes by here.
        match renderable:
            case str() if visible(renderable) != renderable:
                renderable = visible(renderable)
            case Text() if visible(renderable.plain) != renderable.plain:
                renderable = renderable.blank_copy(visible(renderable.plain))
        return super().render(renderable, options)
