"""Layer lists: `6,16,22`, `8..22 step 2`, `25%..75%`, `all`, `last`, or a choice made earlier.

In: the items as written. Out: `recipe.Layers`, still without the model's layer count.
"""

from __future__ import annotations

from collections.abc import Sequence

from steerdsl.lang import nodes
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.names import find
from steerdsl.lang.nodes import Item, Name, Node, Quantity
from steerdsl.lang.recipe import LayerChoice, LayerPoint, LayerRange, Layers
from steerdsl.lang.tuned import Tuned


def layers(ctx: Context, items: Sequence[Item], at: Node) -> Layers | None:
    """The layers of `at layers …`, `v[…]` or `from layers …`; no items in the result means all."""
    if len(items) == 1 and isinstance(items[0], Name) and items[0].text == "all":
        return Layers(span=at.span)
    found = [_item(ctx, item if isinstance(item, nodes.Range) else values.put_in(ctx, item)) for item in items]
    kept = [item for item in found if item is not None]
    return Layers(tuple(kept), span=at.span) if len(kept) == len(found) else None


def _item(ctx: Context, item: Item) -> LayerPoint | LayerRange | LayerChoice | None:
    if isinstance(item, nodes.Range):
        return _range(ctx, item)
    if isinstance(item, Name):
        symbol = ctx.scope.symbols.get(item.parts[0])
        if item.text == "all":
            help = "write `all` alone, or the layers one by one"
            ctx.error("S310", "`all` cannot be combined with other layers", item, help=help)
            return None
        if item.text != "last" and (symbol is None or symbol.kind not in ("param", "axis", "tune")):
            choice = find(ctx, item, "choice", "param", "axis", words=("all", "last"))
            return LayerChoice(choice.name) if choice else None
    return point(ctx, item)


def point(ctx: Context, expr: nodes.Expr) -> LayerPoint | LayerChoice | None:
    """One layer: a number from 0, a share of the depth, `last`, or what a search is to choose."""
    if isinstance(expr, Name) and expr.text == "last":
        return LayerPoint(1.0, share=True)
    if meant := _python(expr):
        ctx.error("S310", "this is not a layer", expr, values.sort_of(expr), help=f"write `{meant}`")
        return None
    value = values.quantity(ctx, expr, "a layer", "a number or a share of the depth", "16", waits=True)
    if value is None:
        return None
    if isinstance(value.value, Tuned):
        return _tuned(ctx, expr, value.value, value.unit)
    if value.unit == "%":
        if 0 <= value.value <= 100:
            return LayerPoint(value.value / 100, share=True)
        help = "0% is the first layer and 100% the last"
    elif value.unit:
        help = "write a number, as in `16`, or a share of the depth, as in `50%`"
    elif isinstance(expr, nodes.Binary) and expr.op == "-" and value.value < 0:
        help = f"a range is written with two dots: `{values.printed(expr.left)}..{values.printed(expr.right)}`"
    elif value.value < 0:
        help = "layers count from 0; `last` is the last one"
    elif value.value != int(value.value):
        help = f"write `{round(value.value)}`, or `{value.value * 100:.12g}%` for a share of the depth"
        help = help if value.value <= 1 else f"write `{round(value.value)}`"
    else:
        return LayerPoint(float(int(value.value)))
    ctx.error("S310", f"`{values.printed(value)}` is not a layer", expr, help=help)
    return None


def _tuned(ctx: Context, expr: nodes.Expr, value: Tuned, unit: str) -> LayerChoice | None:
    """The layer that a search chooses: the axis itself, since the layer next to it is another in every model."""
    if value.plain and unit in ("", "%") and value.layers is not False:
        return LayerChoice(value.of)
    help = f"write `{value.text}` alone, with a range of layers or of depths"
    ctx.error("S465", "a layer that a search chooses is an axis of layers or depths, as it is", expr, help=help)
    return None


def _python(expr: nodes.Expr) -> str | None:
    """How a list or a range of Python is written here."""
    if isinstance(expr, nodes.List):
        return ",".join(map(values.printed, expr.items))
    if not isinstance(expr, nodes.Call) or expr.name != "range":
        return None
    numbers = [int(a.value) for a in expr.args if isinstance(a, Quantity) and not a.unit]
    if len(numbers) != len(expr.args) or not 1 <= len(numbers) <= 3:
        return "8..22 step 2"
    start, stop, step = (0, *numbers, 1) if len(numbers) == 1 else (*numbers, 1)[:3]
    return f"{start}..{stop - 1}" + (f" step {step}" if step != 1 else "")


def _range(ctx: Context, item: nodes.Range) -> LayerRange | None:
    start, stop = point(ctx, item.start), point(ctx, item.stop)
    step = 1 if item.step is None else values.whole(ctx, item.step, "the step between layers", 1)
    for end in (start, stop):
        if isinstance(end, LayerChoice):
            help = f"write the layers one by one, as in `at layers {end.select}`"
            ctx.error("S465", "a range of layers cannot begin or end where a search chooses", item, help=help)
            return None
    if not isinstance(start, LayerPoint) or not isinstance(stop, LayerPoint) or step is None:
        return None
    if start.share == stop.share and start.value > stop.value:
        ctx.error("S310", "this range of layers ends before it begins", item, help="write the smaller one first")
        return None
    return LayerRange(start, stop, step)
