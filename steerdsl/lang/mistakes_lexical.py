"""Mistakes in single words: quotes, numbers, units, paths and characters without meaning.

In: a `Failure`. Out: a `Mistake`, or None where the rule does not recognise the case.
"""

from __future__ import annotations

from steerdsl.lang.build import token_span
from steerdsl.lang.failure import Failure, Mistake
from steerdsl.lang.wording import UNIT_SPELLINGS, path_help, quote, spelt, touch

LOOKALIKES = {"–": "-", "—": "-", "−": "-", "…": "..", "×": "*", "·": "*", "＝": "=", "，": ",", "：": ":", "；": ";"}


def open_string(f: Failure) -> Mistake | None:
    if f.kind != "OPEN_STRING":
        return None
    return Mistake("S105", "this string is never closed", f.span, 'end it with `"` on the same line')


def wrong_quotes(f: Failure) -> Mistake | None:
    if f.kind != "BAD" or f.token not in ("'", "“", "”", "‘", "’", "`"):
        return None
    rest = f.tokens[f.at + 1 :]
    end = next((i for i, t in enumerate(rest) if t.type == "BAD" and t in ("'", "”", "“", "’", "`")), None)
    if end is None:
        return Mistake("S123", "put strings in straight double quotes", f.span, 'write `"…"`')
    help = "write " + quote(f'"{spelt(rest[:end])}"')
    return Mistake("S123", "put strings in straight double quotes", f.span.to(token_span(rest[end])), help)


def dotted_number(f: Failure) -> Mistake | None:
    if f.kind != "BAD" or f.token != ".":
        return None
    if f.before is not None and f.before.type == "DOTDOT":
        return Mistake("S113", "a range has two dots", token_span(f.before).to(f.span), "write `8..22`")
    after = f.tokens[f.at + 1] if f.at + 1 < len(f.tokens) else None
    if after is not None and after.type == "QUANTITY" and token_span(after).start == f.span.end:
        return Mistake("S120", "a number begins with a digit", f.span.to(token_span(after)), f"write `0.{after}`")
    if f.before is not None and f.before.type == "QUANTITY" and token_span(f.before).end == f.span.start:
        return Mistake("S120", "a number does not end in a dot", token_span(f.before).to(f.span), f"write `{f.before}`")
    return None


def unit_apart(f: Failure) -> Mistake | None:
    """`210 deg`, `40 %`."""
    number, unit = f.before, f.token
    if number is None or unit is None or number.type != "QUANTITY" or unit.lower() not in UNIT_SPELLINGS:
        return None
    span, help = token_span(number).to(f.span), f"write `{number}{UNIT_SPELLINGS[unit.lower()]}`"
    return Mistake("S109", "a unit touches its number", span, help, "a space between")


def unquoted_path(f: Failure) -> Mistake | None:
    after = f.tokens[f.at + 1] if f.at + 1 < len(f.tokens) else None
    drive = f.kind == "COLON" and f.before is not None and len(f.before) == 1 and after in ("/", "\\")
    slash = drive or (f.kind == "BAD" and f.token in ("/", "\\", "~"))
    if not slash and (f.expected != {"STRING"} or f.kind not in ("NAME", "QUANTITY", "BAD")):
        return None
    first = last = f.at
    while first > 0 and touch(f.tokens[first - 1], f.tokens[first]):
        first -= 1
    while last + 1 < len(f.tokens) and touch(f.tokens[last], f.tokens[last + 1]):
        last += 1
    text = "".join(f.tokens[first : last + 1])
    span = token_span(f.tokens[first]).to(token_span(f.tokens[last]))
    return Mistake("S126", "put paths and model ids in double quotes", span, path_help(text))


def unknown_character(f: Failure) -> Mistake | None:
    if f.kind != "BAD" or f.token is None:
        return None
    plain = LOOKALIKES.get(str(f.token))
    help = f"write `{plain}`" if plain else "remove it, or put it into a string"
    if f.token == "&":
        help = "the axes of a sweep are joined with `and`; two checks are two statements"
    if f.token == "\\":
        help = "a line that opens with a clause word continues the one above without a sign"
    name = f"`{f.token}`" if f.token.isprintable() and not f.token.isspace() else f"U+{ord(f.token):04X}"
    return Mistake("S113", f"the character {name} has no meaning here", f.span, help)
