"""Values that a search has yet to choose, where a recipe names them.

In: `best.strength`, or a place that cannot wait for it. Out: the open value of the axis, or a message.
"""

from __future__ import annotations

from collections.abc import Mapping

from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.lower.context import Context, Symbol
from steerdsl.lang.lower.phrases import either
from steerdsl.lang.nodes import Expr, Name
from steerdsl.lang.tuned import Tuned


def chosen(ctx: Context, expr: Name, symbol: Symbol) -> Expr | None:
    """What a search has chosen on one of its axes; None after a message."""
    ctx.scope.used.add(symbol.name)
    known: Mapping[str, Expr] = symbol.value or {}
    axis = ".".join(expr.parts[1:])
    if known and axis not in known:
        close = nearest(axis, known)
        every = either(f"{symbol.name}.{name}" for name in known)
        help = f"did you mean `{symbol.name}.{close}`?" if close else f"write {every}"
        ctx.error("S466", f"`{symbol.name}` has no axis `{axis}`", expr, help=help)
    return known.get(axis)


def is_number(ctx: Context, expr: Expr, value: float) -> bool:
    """Whether a number is one, and not the layer that a search chooses. False after a message."""
    if not isinstance(value, Tuned) or not value.layers:
        return True
    title = f"`{value.text}` is a layer, and this is a strength or an angle"
    ctx.error("S465", title, expr, help="write a number, or an axis that the search has for it")
    return False


def cannot_wait(ctx: Context, expr: Expr, what: str, value: Tuned) -> None:
    """Report a search's choice where the number must be known before it."""
    title = f"{what} cannot wait for a search, which has yet to choose `{value.text}`"
    help = "write the number; what a search chooses may be a strength, an angle or a layer"
    ctx.error("S465", title, expr, help=help)
