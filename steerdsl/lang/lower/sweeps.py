"""Sweeps: `sweep angle over 0deg..350deg step 10deg and depth over 25%,50% { … }`, unrolled.

In: the statement. Out: a `Sweep` with one block of steps for each point. What the body names is
known after the sweep too, for `plot`, `check` and `export`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from steerdsl.lang import nodes
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context, Scope, Symbol, SymbolKind
from steerdsl.lang.lower.names import is_free
from steerdsl.lang.lower.values import DEGREES
from steerdsl.lang.nodes import Quantity
from steerdsl.lang.recipe import Point, Sweep

MOST_POINTS = 10_000

LowerBlock = Callable[[Context, Sequence[nodes.Statement]], None]
AxisValues = Mapping[str, Quantity | None]  # an axis that was bad has no value


def lower_sweep(ctx: Context, node: nodes.Sweep, lower_block: LowerBlock) -> None:
    errors = ctx.errors
    axes = {axis.name.parts[0]: _axis(ctx, axis, node) for axis in node.axes}
    count = math.prod(len(found) for found in axes.values())
    if count > MOST_POINTS:
        help = "take larger steps, or split the sweep"
        title = f"this sweep has {count} points; the maximum is {MOST_POINTS}"
        ctx.error("S412", title, node.axes[0].span.to(node.axes[-1].span), help=help)
    if not node.body:
        ctx.error("S419", "this sweep does nothing", node.axes[0], help="write what changes between the braces")
    good = ctx.errors == errors
    ctx.scope.used -= axes.keys()
    points: list[Point] = []
    for place in _places(axes) if good and count else [dict.fromkeys(axes)]:
        scope, point = _point(ctx, node, place, lower_block, quiet=bool(points))
        points.append(point)
        if ctx.errors > errors:
            break
    keep_names(ctx, scope, axes)
    if ctx.errors > errors:
        return
    for axis in node.axes:
        if axis.name.text not in ctx.scope.used:
            help = "write it where a value changes from point to point"
            ctx.warn("S452", f"nothing uses `{axis.name.text}`", axis.name, "every point is the same", help=help)
    ctx.shared.sweeps += 1
    ctx.steps.append(Sweep(f"sweep_{ctx.shared.sweeps}", tuple(axes), tuple(points), span=node.span))


def _places(axes: Mapping[str, Sequence[Quantity]]) -> Iterator[AxisValues]:
    return (dict(zip(axes, combination, strict=True)) for combination in product(*axes.values()))


def _point(
    ctx: Context, node: nodes.Sweep, place: AxisValues, lower_block: LowerBlock, quiet: bool
) -> tuple[Scope, Point]:
    """Lower the body at one point; with `quiet` only errors are kept, for the rest has been said."""
    inner = replace(ctx, scope=ctx.scope.inside(), steps=[], block="sweep", axes=place)
    for axis in node.axes:
        name = axis.name.parts[0]
        kind: SymbolKind = "axis" if place[name] else "unknown"
        inner.scope.symbols[name] = Symbol(name, kind, ctx.place(axis.name, "defined here first"), place[name], place)
    found = ctx.shared.found
    before = len(found)
    lower_block(inner, node.body)
    if quiet:
        found[before:] = [d for d in found[before:] if d.severity == "error"]
    labels = {name: values.printed(value) for name, value in place.items() if value}
    numbers = {name: _plain(value) for name, value in place.items() if value}
    return inner.scope, Point(labels, numbers, tuple(inner.steps))


def _plain(value: Quantity) -> float:
    """An axis's value as the recipe's types have it: degrees, fractions, plain numbers."""
    return value.value / 100 if value.unit == "%" else value.value * DEGREES.get(value.unit, 1.0)


def keep_names(ctx: Context, scope: Scope, axes: Iterable[str]) -> None:
    """What the body has named is known from here on, as one value for each point."""
    for name, symbol in scope.symbols.items():
        if name not in ctx.scope.symbols and name not in axes:
            ctx.scope.symbols[name] = symbol
            ctx.scope.later.pop(name, None)
    ctx.scope.taken |= scope.taken


def name_axis(ctx: Context, axis: nodes.Axis, node: nodes.Sweep) -> str:
    """An axis's name, reported where it is not free."""
    name = axis.name.parts[0]
    if is_free(ctx, axis.name):
        twin = next(other for other in node.axes if other.name.parts[0] == name)
        if twin is not axis:
            also = (ctx.place(twin.name, "defined here first"),)
            ctx.error(
                "S202", f"`{name}` is defined twice", axis.name, "again here", also=also, help="take another name"
            )
    return name


def _axis(ctx: Context, axis: nodes.Axis, node: nodes.Sweep) -> list[Quantity]:
    """An axis's values; none when its name or a value is bad."""
    name = name_axis(ctx, axis, node)
    found: list[Quantity] = []
    for item in axis.items:
        if isinstance(item, nodes.Range):
            found += _range(ctx, item)
        else:
            value = values.quantity(ctx, item, f"`{name}`", "numbers", "25%")
            found += [value] if value else []
    return found if _alike(ctx, axis, found) else []


def _alike(ctx: Context, axis: nodes.Axis, found: Sequence[Quantity]) -> bool:
    """Whether all values of an axis are of one sort."""
    for value in found[1:]:
        if values.sort_of(value) != values.sort_of(found[0]):
            label = f"{values.sort_of(value)}, after {values.sort_of(found[0])}"
            help = "give all of them the same unit"
            ctx.error("S422", f"`{axis.name.text}` has values of two kinds", value, label, help=help)
            return False
    return True


def _range(ctx: Context, item: nodes.Range) -> list[Quantity]:
    """Every value from start to stop, ends included."""
    what = "a range"
    start = values.quantity(ctx, item.start, what, "numbers", "25%")
    stop = values.quantity(ctx, item.stop, what, "numbers", "25%")
    step = values.quantity(ctx, item.step, "`step`", "a number", "10deg") if item.step else Quantity(1.0)
    if start is None or stop is None or step is None:
        return []
    if item.step is None and start.unit:
        help = f"write `step 10{start.unit}` after it"
        ctx.error("S422", "a range of values with a unit needs a step", item, help=help)
        return []
    stop_value, step_value = in_unit(stop, start), in_unit(step, start)
    for other, value in ((stop, stop_value), (step, step_value)):
        if value is None:
            help = f"write `{other.value:.12g}{start.unit}`"
            ctx.error("S422", "a range and its step have one unit", other, values.sort_of(other), help=help)
    if stop_value is None or step_value is None:
        return []
    if step_value <= 0 or stop_value < start.value:
        help = "write the smaller value first, and a step above 0"
        ctx.error("S422", "this range has no values", item, help=help)
        return []
    if (stop_value - start.value) / MOST_POINTS >= step_value:
        title = f"this range has more than {MOST_POINTS} values, the maximum"
        ctx.error("S412", title, item, help="take larger steps")
        return []
    count = math.floor((stop_value - start.value) / step_value + 1e-9) + 1
    return [Quantity(round(start.value + i * step_value, 10), start.unit, span=item.span) for i in range(count)]


def in_unit(value: Quantity, like: Quantity) -> float | None:
    """The number of `value` in the unit of `like`; None where it could not be loaded."""
    if value.unit == like.unit:
        return value.value
    if value.unit in DEGREES and like.unit in DEGREES:
        return value.value * DEGREES[value.unit] / DEGREES[like.unit]
    return None
