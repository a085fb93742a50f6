"""Layer lists: `6,16,22`, `8..22 step 2`, `25%..75%`, `all`, `last`, or a choice made earlier.

In: the items as written. Out: `recipe.Layers`, still without the model's layer count.
"""

from __future__ import annotations

from collections.abc import Sequence

from steerdsl.lang import nodes
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.names import find
from steerdsl.lang.nodes import Item, Name, Node
from steerdsl.lang.recipe import LayerChoice, LayerPoint, LayerRange, Layers


def layers(ctx: Context, items: Sequence[Item], at: Node) -> Layers | None:
    """The layers of `at layers …`, `v[…]` or `from layers …`; no items in the result means all."""
    if len(items) == 1 and isinstance(items[0], Name) and items[0].text == "all":
        return Layers(span=at.span)
    found = [_item(ctx, item) for item in items]
    kept = [item for item in found if item is not None]
    return Layers(tuple(kept), span=at.span) if len(kept) == len(found) else None


def _item(ctx: Context, item: Item) -> LayerPoint | LayerRange | LayerChoice | None:
    if isinstance(item, nodes.Range):
        return _range(ctx, item)
    if isinstance(item, Name):
        symbol = ctx.scope.symbols.get(item.parts[0])
        if item.text == "all":
            help = "write `all` alone, or the layers one by one"
            ctx.error("S310", "`all` stands alone in a list of layers", item, help=help)
            return None
        if item.text != "last" and (symbol is None or symbol.kind not in ("param", "axis")):
            choice = find(ctx, item, "choice", "param", "axis", words=("all", "last"))
            return LayerChoice(choice.name) if choice else None
    return point(ctx, item)


def point(ctx: Context, expr: nodes.Expr) -> LayerPoint | None:
    """One layer: a number from 0, a share of the depth, or `last`."""
    if isinstance(expr, Name) and expr.text == "last":
        return LayerPoint(1.0, share=True)
    value = values.quantity(ctx, expr, "a layer", "a number or a share of the depth", "16")
    if value is None:
        return None
    if value.unit == "%":
        if 0 <= value.value <= 100:
            return LayerPoint(value.value / 100, share=True)
        help = "0% is the first layer and 100% the last"
    elif value.unit:
        help = "write a number, as in `16`, or a share of the depth, as in `50%`"
    elif value.value < 0:
        help = "layers count from 0; `last` is the last one"
    elif value.value != int(value.value):
        help = f"write `{round(value.value)}`, or `{value.value * 100:.12g}%` for a share of the depth"
        help = help if value.value <= 1 else f"write `{round(value.value)}`"
    else:
        return LayerPoint(float(int(value.value)))
    ctx.error("S310", f"`{values.printed(value)}` is not a layer", expr, help=help)
    return None


def _range(ctx: Context, item: nodes.Range) -> LayerRange | None:
    start, stop = point(ctx, item.start), point(ctx, item.stop)
    step = 1 if item.step is None else values.whole(ctx, item.step, "the step between layers", 1)
    if start is None or stop is None or step is None:
        return None
    if start.share == stop.share and start.value > stop.value:
        ctx.error("S310", "this range of layers ends before it begins", item, help="write the smaller one first")
        return None
    return LayerRange(start, stop, step)
