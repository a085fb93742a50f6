"""How much an addition adds: `by 2`, `by 10%`, `by 2 sd`, `by 30% dose`.

In: the value of a clause and the word behind it. Out: a `Strength`, or None after a message. `sd` and `dose` are
measured on the prompts that a vector was extracted from, so that a vector without any cannot be added by them.
"""

from __future__ import annotations

from steerdsl.lang import nodes
from steerdsl.lang.lower import late, vectors
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.values import DEGREES, label, mismatch, quantity
from steerdsl.lang.nodes import Expr, Quantity
from steerdsl.lang.recipe import Strength, VectorExpr, VectorRef
from steerdsl.lang.tuned import Tuned

UNMEASURED = "write a share of each token's norm, as in `by 10%`, or multiples of the raw vector, as in `by 2`"


def strength(ctx: Context, expr: Expr, what: str, measure: str = "") -> Strength | None:
    """A strength in the unit that its value has, or in that of the word behind it."""
    value = quantity(ctx, expr, what, "a number or a share", "10%", waits=True)
    if value is None or not late.is_number(ctx, expr, value.value):
        return None
    if value.unit in DEGREES:
        help = "write `10%` (a share of each token's norm) or `2` (twice the raw vector); angles belong to `rotate`"
        mismatch(ctx, expr, value, what, "a number or a share", help=help)
        return None
    if measure:
        return _measured(ctx, expr, value, measure)
    return Strength(value.value / 100, "share") if value.unit == "%" else Strength(value.value, "raw")


def _measured(ctx: Context, expr: Expr, value: Quantity, measure: str) -> Strength | None:
    number, open_ = value.value, isinstance(value.value, Tuned)
    if measure == "sd" and value.unit:
        help = "give its axis a range of plain numbers" if open_ else f"write `{number / 100:.12g} sd`"
        title = "`sd` counts standard deviations, and this is a share"
    elif measure == "dose" and not value.unit:
        help = "give its axis a range of shares" if open_ else f"write `{number * 100:.12g}% dose`"
        title = "a dose is a share of the stream's mean norm, and this is a plain number"
    else:
        return Strength(number, "sd") if measure == "sd" else Strength(number / 100, "dose")
    ctx.error("S330", title, expr, "" if open_ else label(expr, value), help=help)
    return None


def require_measurable(ctx: Context, clause: nodes.Amount, operand: VectorExpr) -> None:
    """Report a vector whose direction has no spread, or no prompts on which anything could be measured."""
    measure, info = clause.measure, vectors.info_of(ctx, operand)
    written = ctx.written(clause)
    if info.unread:
        title = f"`{measure}` is measured on training prompts, and {info.unread}"
        ctx.error("S332", title, clause, help=UNMEASURED)
        return
    layers = operand.layers if measure == "sd" and isinstance(operand, VectorRef) else None
    if layers is not None and not vectors.is_single(ctx, layers):
        help = "add each layer's direction by an `add` of its own, or leave `sd` out"
        ctx.error("S333", f"`{written}` has no one meaning for directions of several layers", clause, help=help)
