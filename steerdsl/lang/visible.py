"""Text of others as it may be shown: what would steer a terminal, or hide in it, becomes an escape.

In: any text. Out: the same with control characters (C0 but newline and tab, DEL, C1), characters that turn
the direction of reading or show nothing at all, and lone surrogates written out, such as \\x1b or \\u202e.
The list of bidirectional controls is that of Unicode's UAX 9; the attack is Boucher and Anderson 2021,
Trojan Source.
"""

from __future__ import annotations

_CONTROL = (*(c for c in range(0x20) if chr(c) not in "\n\t"), *range(0x7F, 0xA0))
_DIRECTION = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
# Zero width, line and paragraph separators, annotations, tags. Joiners stay: scripts and emoji need them.
_UNSEEN = (0x180E, 0x200B, 0x2028, 0x2029, *range(0x2060, 0x2065), *range(0x206A, 0x2070), 0xFEFF)
_UNSEEN += (*range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080))
_SURROGATES = range(0xD800, 0xE000)
HIDDEN = frozenset((*_CONTROL, *_DIRECTION, *_UNSEEN, *_SURROGATES))


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_ESCAPES = {code: _escape(code) for code in HIDDEN}
_IN_LINE = {**_ESCAPES, ord("\n"): "\\n", ord("\t"): "\\t"}


def visible(text: str) -> str:
    """`text` as it may be printed; its lines and tabs stay."""
    return text.translate(_ESCAPES)


def in_line(text: str) -> str:
    """`text` in a form that fits within a line: it can neither end the line nor begin another."""
    return text.translate(_IN_LINE)
