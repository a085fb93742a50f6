"""Control characters as text, so that what a file holds cannot steer the terminal that prints it.

In: any text. Out: the same with each control character but newline and tab as its escape, such as \\x1b.
"""

from __future__ import annotations

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """`text` as it may be printed."""
    return text.translate(_ESCAPES)
