"""The terminal on which commands print tables: control sequences in a text are shown, never obeyed.

In: rich renderables, as for rich's own `Console`. Out: the same, their texts passed through `visible`; no
text is read as markup, an emoji's name or a pattern to highlight. In a pipe lines have no limit, unless
COLUMNS sets one; nothing is cut at the right edge.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from steerdsl.lang.visible import visible
from steerdsl.show.door import behind

UNLIMITED = 100_000  # columns of a pipe


class Terminal(Console):
    """rich's console, which takes square brackets for markup and sends a text's escape sequences on to the
    terminal, but without that."""

    def __init__(self, file: TextIO | None = None, **options: Any) -> None:
        stream = behind(sys.stdout if file is None else file)
        if "width" not in options and not stream.isatty() and not os.environ.get("COLUMNS", "").isdigit():
            options["width"] = UNLIMITED
        super().__init__(file=stream, markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **{"crop": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        # Where a text is measured, too: its escapes need room.
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        # Before a text is broken into lines. Every part of a table comes by here.
        if isinstance(renderable, Text) and visible(renderable.plain) != renderable.plain:
            renderable = renderable.blank_copy(visible(renderable.plain))
        return super().render(renderable, options)
