"""Python source in the layout of ruff's formatter: literals, calls, comments, imports.

In: values and pieces of source. Out: lines that fit 120 columns where they can, and that a formatter
leaves alone: what is broken up has a trailing comma.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Collection, Iterable, Sequence

WIDTH = 120


def text(value: str) -> str:
    """A string literal. Characters that do not show are escaped, so that the file shows all it does."""
    quoted = json.dumps(value, ensure_ascii=False)
    if value.count('"') > value.count("'"):
        quoted = "'" + quoted[1:-1].replace("'", "\\'").replace('\\"', '"') + "'"
    return "".join(c if c.isprintable() else _escaped(c) for c in quoted)


def literal(value: object) -> str:
    """A literal for text, numbers, truth values, None, and lists and tuples of these."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list | tuple):
        inner = ", ".join(literal(v) for v in value)
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)


def numbers(values: Sequence[int]) -> str:
    """Ascending whole numbers as a range where they are one, else as a tuple."""
    if len(values) > 2 or (len(values) == 2 and values[1] == values[0] + 1):
        step = values[1] - values[0]
        if list(values) == list(range(values[0], values[-1] + 1, step)):
            start = f"{values[0]}, " if values[0] or step > 1 else ""
            return f"range({start}{values[-1] + 1}{f', {step}' if step > 1 else ''})"
    return literal(tuple(values))


def call(head: str, items: Iterable[str], tail: str = ")", indent: int = 0) -> list[str]:
    """`head` (which ends in its bracket), items and `tail`: on one line, or an item a line."""
    pad, items = " " * indent, list(items)
    line = f"{pad}{head}{', '.join(items)}{tail}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{pad}{head}", *(f"{pad}    {item}," for item in items), f"{pad}{tail}"]


def comment(words: str, indent: int = 0) -> list[str]:
    """Prose as comment lines that fit."""
    pad = " " * indent
    return [f"{pad}# {line}" for line in textwrap.wrap(_shown(words), WIDTH - indent - 2, break_on_hyphens=False)]


def quoted(lines: str) -> list[str]:
    """Text as comment lines, word for word, indented."""
    return [f"#     {_shown(line)}".rstrip() for line in lines.splitlines()]


def _shown(words: str) -> str:
    return "".join(c if c.isprintable() else " " for c in words)


def _escaped(c: str) -> str:
    code = ord(c)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def import_lines(imports: Collection[tuple[str, str]]) -> str:
    """The import statements, sorted, those of the standard library first."""
    groups: tuple[list[str], list[str]] = ([], [])
    for module in sorted(module for module, name in imports if not name):
        _group(groups, module).append(f"import {module}")
    for module in sorted({module for module, name in imports if name}):
        members = sorted(name for found, name in imports if found == module and name)
        line = f"from {module} import {', '.join(members)}"
        fits = len(line) <= WIDTH
        _group(groups, module).extend([line] if fits else call(f"from {module} import (", members))
    return "\n\n".join("\n".join(group) for group in groups if group)


def _group(groups: tuple[list[str], list[str]], module: str) -> list[str]:
    return groups[module.partition(".")[0] not in sys.stdlib_module_names]
