"""Names: giving them, finding them, and saying which one was meant.

In: a `Name` node and the kinds of thing that fit. Out: the `Symbol`, or None after a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from steerdsl.lang.diagnostics import Label, nearest
from steerdsl.lang.lower.context import Context, Symbol, SymbolKind
from steerdsl.lang.lower.phrases import NOUNS, either, example, listed, wanted
from steerdsl.lang.nodes import Name
from steerdsl.lang.source import Span
from steerdsl.lang.variants import BASELINE, PROMPTED, RANDOM, REFERENCE

# Words that mean something where a name may be written.
RESERVED = frozenset({"all", "last", BASELINE, "none", "step"})
CONTROLS = frozenset({RANDOM, PROMPTED, REFERENCE})  # what tables call the variants besides a steer
MAIN = "main"  # the steer of operations outside braces


def define(ctx: Context, name: Name, kind: SymbolKind, value: Any = None) -> bool:
    """Give a name its meaning from here on; False after a message when it could not be loaded."""
    text = name.parts[0]
    if len(name.parts) > 1:  # reported by the parser; what it was meant to be is open
        kind, value = "unknown", None
    free = is_free(ctx, name, kind)
    if not free and text in ctx.scope.symbols:
        return False
    if not free:
        kind, value = "unknown", None
    place = ctx.place(name, "defined here first")
    ctx.scope.symbols[text] = Symbol(text, kind, place, value, ctx.axes, ctx.block == "used")
    ctx.scope.later.pop(text, None)
    ctx.scope.taken.add(text)
    return free


def is_free(ctx: Context, name: Name, kind: SymbolKind | None = None) -> bool:
    """Whether a name may be given here; False after a message."""
    text = name.parts[0]
    first = ctx.scope.symbols.get(text)
    if text in RESERVED or (kind == "steer" and text in CONTROLS):
        label = "the language uses this word" if text in RESERVED else "tables call a control so"
        ctx.error("S204", f"`{text}` cannot be a name", name, label, help="take another name")
    elif first is not None and first.kind != "unknown":
        help = "rename one of the two"
        if text == MAIN:
            help = "operations outside a block form one steer, `main`; give this block another name"
        ctx.error("S202", f"`{text}` is defined twice", name, "again here", also=(first.place,), help=help)
    else:
        return True
    return False


def find(ctx: Context, name: Name, *kinds: SymbolKind, words: Iterable[str] = (), swept: bool = False) -> Symbol | None:
    """The symbol of the name's first part, if it is of one of the kinds; else None, reported.

    `words` are further spellings to suggest; `swept` allows names that a sweep has bound."""
    first, at = name.parts[0], part_span(name, 0)
    symbol = ctx.scope.symbols.get(first)
    if symbol is None:
        _missing(ctx, name, kinds, words)
        return None
    ctx.scope.used.add(first)
    if symbol.kind not in kinds and symbol.kind != "unknown":
        label, also = f"`{first}` is {NOUNS[symbol.kind]}", (defined(symbol),)
        ctx.error("S205", wanted(kinds), at, label, also=also, help=_known(ctx, kinds, words))
        return None
    if symbol.axes and symbol.axes is not ctx.axes and not swept:
        title, label = f"`{first}` is another one at each point of a sweep", f"swept over {listed(symbol.axes)}"
        help = "use it inside the sweep; after it, `plot`, `check` and `export` can name it"
        ctx.error("S420", title, at, label, also=(defined(symbol),), help=help)
        return None
    return symbol


def part_span(name: Name, part: int) -> Span:
    """The place of one part of a dotted name; of the whole where a param stands for the name."""
    if name.span.end - name.span.start != len(name.text):
        return name.span
    start = name.span.start + sum(len(before) + 1 for before in name.parts[:part])
    return Span(start, start + len(name.parts[part]))


def defined(symbol: Symbol) -> Label:
    """The place of a symbol's definition, for a second label."""
    return Label(symbol.place.source, symbol.place.span, "defined here")


def named(ctx: Context, kinds: Sequence[SymbolKind]) -> list[str]:
    """The names in force of those kinds, in the order of their definition."""
    return [name for name, symbol in ctx.scope.symbols.items() if symbol.kind in kinds]


def _missing(ctx: Context, name: Name, kinds: Sequence[SymbolKind], words: Iterable[str]) -> None:
    first, at = name.parts[0], part_span(name, 0)
    if first in ctx.scope.later:
        help = "move the definition above this line"
        ctx.error("S203", f"`{first}` is used before it is defined", at, also=(ctx.scope.later[first],), help=help)
        return
    close = nearest(first, [*named(ctx, kinds), *words])
    help = f"did you mean `{close}`?" if close else _known(ctx, kinds, words)
    ctx.error("S201", f"nothing is called `{first}`", at, wanted(kinds), help=help)


def _known(ctx: Context, kinds: Sequence[SymbolKind], words: Iterable[str]) -> str:
    known = [*named(ctx, kinds), *words]
    return f"write {either(known)}" if known else f"define one first, as in `{example(kinds[0])}`"
