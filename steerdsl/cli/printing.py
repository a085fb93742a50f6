"""Diagnostics on a terminal.

In: diagnostics and a stream. Out: their text on that stream, in colour where it is a terminal, or JSON.
`render` has made visible what a diagnostic quotes of a file, so that it does not steer the terminal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import TextIO

from steerdsl.lang.diagnostics import Diagnostic, render, to_json
from steerdsl.show.door import behind, json_text

MOST = 100  # diagnostics that are printed; --json has all
RED, YELLOW, BLUE, CYAN, BOLD, PLAIN = "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1;36m", "\x1b[1m", "\x1b[0m"

_CARETS = re.compile(r"^( *\|)( *)(\^+.*)$")
_GUTTER = re.compile(r"^ *(?:\d+ \||\||-->|:::)")


def print_diagnostics(diagnostics: Iterable[Diagnostic], stream: TextIO) -> None:
    """Write the diagnostics, a blank line between two; of very many the first ones, and how many more there are."""
    behind(stream).write(diagnostics_text(diagnostics, in_colour(stream)))


def diagnostics_text(diagnostics: Iterable[Diagnostic], paint: bool) -> str:
    """What `print_diagnostics` writes, coloured with `paint`."""
    every = list(diagnostics)
    texts = [_painted(d) if paint else render(d) for d in every[:MOST]]
    more = f"\nand {len(every) - MOST} more\n" if len(every) > MOST else ""
    return "\n".join(texts) + more


def print_json(diagnostics: Sequence[Diagnostic], stream: TextIO) -> None:
    """Write an array with an object for each diagnostic."""
    stream.write(json_text([to_json(d) for d in diagnostics], indent=2) + "\n")


def print_failure(diagnostics: Sequence[Diagnostic], stream: TextIO) -> None:
    """Write, for a command that prints JSON, an object that says what was wrong."""
    stream.write(json_text({"state": "failed", "diagnostics": [to_json(d) for d in diagnostics]}, indent=1) + "\n")


def in_colour(stream: TextIO) -> bool:
    """Whether that stream shows colours and the user has not declined them (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _painted(diagnostic: Diagnostic) -> str:
    """The text of `render`, coloured line by line."""
    tone = RED if diagnostic.severity == "error" else YELLOW
    head, *lines = render(diagnostic).splitlines()
    kind, colon, title = head.partition(":")
    painted = [f"{tone}{kind}{PLAIN}{BOLD}{colon}{title}{PLAIN}"]
    for line in lines:
        if carets := _CARETS.match(line):
            line = f"{BLUE}{carets[1]}{PLAIN}{carets[2]}{tone}{carets[3]}{PLAIN}"
        elif line.startswith(("note:", "help:")):
            line = f"{CYAN}{line[:5]}{PLAIN}{line[5:]}"
        elif gutter := _GUTTER.match(line):
            line = f"{BLUE}{gutter[0]}{PLAIN}{line[gutter.end() :]}"
        painted.append(line)
    return "\n".join(painted) + "\n"
