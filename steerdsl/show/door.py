"""The door through which everything that a command prints goes to the terminal.

In: text for the standard output and the standard error, wherever in the program it comes from. Out: the
same, with what would steer the terminal made visible. Only what colours text itself, after it has made that
text visible, writes to the stream behind the door (`behind`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from steerdsl.lang.visible import HIDDEN, visible


class Door:
    """A text stream that shows what it is given. `before`, while it is set, is called before anything is
    written: it takes a progress line away."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.before: Callable[[], None] | None = None

    def write(self, text: str) -> int:
        if self.before is not None:
            self.before()
        self.stream.write(visible(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def doors() -> Iterator[None]:
    """Put a door before the standard output and the standard error. A character that their encoding lacks is
    written as its escape instead of ending the program."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (cast(TextIO, Door(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def behind(stream: TextIO) -> TextIO:
    """The stream itself, for text that has been made visible and then coloured; a progress line on it is
    taken away first."""
    if not isinstance(stream, Door):
        return stream
    if stream.before is not None:
        stream.before()
    return stream.stream


def write_file(text: str, stream: TextIO) -> None:
    """Write what is a file's content: byte for byte into a file or a pipe, visible on a terminal."""
    target = stream if stream.isatty() else behind(stream)
    target.write(text)


def json_text(value: Any, indent: int | None = None) -> str:
    """`value` as JSON that reads back to the same and shows every character: \\u009b and not the character."""
    return json.dumps(value, indent=indent, ensure_ascii=False).translate(_JSON)


def _units(code: int) -> str:
    """A character as JSON escapes it: by its one or two UTF-16 units."""
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


_JSON = {code: _units(code) for code in HIDDEN}
