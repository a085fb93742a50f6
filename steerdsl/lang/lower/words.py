"""Words that the registry knows: methods, criteria, metrics, streams, positions, conditions, plots.

In: a word as written. Out: its `Entry`, or None after a message that says which words there are.
"""

from __future__ import annotations

from collections.abc import Mapping

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.phrases import either
from steerdsl.lang.lower.values import constant, label
from steerdsl.lang.source import Span
from steerdsl.registry import Entry, Kind


def entry(ctx: Context, kind: Kind, word: str, at: Span) -> Entry | None:
    """The entry of that kind called `word`."""
    known = registry.entries(kind)
    if word in known:
        return known[word]
    room = registry.ROOMS[kind]
    close = _meant(known, word)
    help = f"did you mean `{close}`?" if close else f"write {either(known)}"
    ctx.error(room.code, f"there is no {room.noun} `{word}`", at, help=help)
    return None


def _meant(known: Mapping[str, Entry], word: str) -> str | None:
    """The entry that `word` was probably meant to be: one that others call so, else the nearest."""
    plain = word.lower().replace("-", "_")
    called = (name for name, entry in known.items() if plain in entry.aliases)
    return next(called, None) or nearest(word, known)


def entry_of(ctx: Context, kind: Kind, expr: nodes.Expr) -> Entry | None:
    """The entry that an expression names: a word, or a param that holds one."""
    value = constant(ctx, expr)
    if isinstance(value, nodes.Name):
        return entry(ctx, kind, value.text, expr.span)
    if value is not None:
        room = registry.ROOMS[kind]
        help = f"write {either(registry.entries(kind))}"
        ctx.error(room.code, f"this is not {room.noun}", expr, label(expr, value), help=help)
    return None
