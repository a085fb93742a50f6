"""Sweeps: `sweep angle over 0deg..350deg step 10deg and method over diffmean, probe { … }`, unrolled.

In: the statement. Out: a `Sweep` with one block of steps for each point. What the body names is known after the sweep
too, for `plot`, `check` and `export`. `word_axes` has what axes over words add.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import Diagnostic
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context, Scope, Symbol, SymbolKind
from steerdsl.lang.lower.names import is_free
from steerdsl.lang.lower.values import DEGREES
from steerdsl.lang.lower.word_axes import (
    WORDS,
    Place,
    axis_word,
    is_word,
    label,
    require_different,
    require_same_columns,
    told,
    varying,
)
from steerdsl.lang.nodes import Expr, Quantity, Text
from steerdsl.lang.recipe import Point, Sweep

MOST_POINTS = 10_000

LowerBlock = Callable[[Context, Sequence[nodes.Statement]], None]


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
    places = list(_places(axes)) if good and count else [dict.fromkeys(axes)]
    scope, points = _points(ctx, node, places, lower_block)
    if ctx.errors == errors:
        require_same_columns(ctx, points)
    if any(map(is_word, places[0].values())) and ctx.errors == errors:
        for name in varying(points):
            if symbol := scope.symbols.get(name):
                scope.symbols[name] = replace(symbol, varies=True)
    keep_names(ctx, scope, axes)
    if ctx.errors > errors:
        return
    for axis in node.axes:
        if axis.name.text not in ctx.scope.used:
            help = "write it where a value changes from point to point"
            ctx.warn("S452", f"nothing uses `{axis.name.text}`", axis.name, "every point is the same", help=help)
    ctx.shared.sweeps += 1
    ctx.steps.append(Sweep(f"sweep_{ctx.shared.sweeps}", tuple(axes), tuple(points), span=node.span))


def _places(axes: Mapping[str, Sequence[Expr]]) -> Iterator[Place]:
    return (dict(zip(axes, combination, strict=True)) for combination in product(*axes.values()))


def _points(
    ctx: Context, node: nodes.Sweep, places: Sequence[Place], lower_block: LowerBlock
) -> tuple[Scope, list[Point]]:
    """Lower the body at every point. The first says what there is to say, and where words are swept over, each: a
    word may be a mistake at one point alone. After a mistake no other number is tried."""
    shared, errors = ctx.shared, ctx.errors
    fitted, all_fitted = dict(shared.fitted), dict(shared.fitted)
    said: list[tuple[Place, list[Diagnostic]]] = []
    points: list[Point] = []
    for place in places:
        if ctx.errors > errors and not _another_word(places[0], place):
            continue
        shared.fitted = dict(fitted)  # what a point's own body was fitted on, and not what those before it were
        before = len(shared.found)
        scope, point = _point(ctx, node, place, lower_block)
        points.append(point)
        said.append((place, shared.found[before:]))
        del shared.found[before:]
        all_fitted |= {name: replace(ref, called="") for name, ref in shared.fitted.items() if name not in all_fitted}
    shared.fitted = all_fitted
    if not any(map(is_word, places[0].values())):
        said[1:] = [(place, [d for d in found if d.severity == "error"]) for place, found in said[1:]]
        found = [d for _, found in said for d in found]
    else:
        found = list(told(ctx, said))
    shared.errors = errors
    shared.add(*found)
    return scope, points


def _another_word(first: Place, place: Place) -> bool:
    """Whether a point differs from the first in words alone."""
    numbers = [axis for axis, value in first.items() if not is_word(value)]
    return len(numbers) < len(first) and all(place[axis] == first[axis] for axis in numbers)


def _point(ctx: Context, node: nodes.Sweep, place: Place, lower_block: LowerBlock) -> tuple[Scope, Point]:
    """Lower the body at one point."""
    inner = replace(ctx, scope=ctx.scope.inside(), steps=[], block="sweep", axes=place, around=ctx.before)
    for axis in node.axes:
        name = axis.name.parts[0]
        kind: SymbolKind = "axis" if place[name] else "unknown"
        inner.scope.symbols[name] = Symbol(name, kind, ctx.place(axis.name, "defined here first"), place[name], place)
    lower_block(inner, node.body)
    labels = {name: label(value) for name, value in place.items() if value}
    numbers = {name: _plain(value) for name, value in place.items() if isinstance(value, Quantity)}
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


def _axis(ctx: Context, axis: nodes.Axis, node: nodes.Sweep) -> list[Expr]:
    """An axis's values; none when its name or a value is bad."""
    name = name_axis(ctx, axis, node)
    found: list[Expr] = []
    for item in axis.items:
        if isinstance(item, nodes.Range):
            found += _range(ctx, item)
            continue
        value = axis_word(ctx, item)
        if value is not None and not isinstance(value, WORDS):
            value = values.quantity(ctx, value, f"`{name}`", "numbers", "25%")
        found += [value] if value else []
    return found if _alike(ctx, axis, found) and require_different(ctx, axis, found) else []


def _alike(ctx: Context, axis: nodes.Axis, found: Sequence[Expr]) -> bool:
    """Whether all values of an axis are of one sort."""
    for value in found[1:]:
        if _sort(value) != _sort(found[0]):
            label = f"{_sort(value)}, after {_sort(found[0])}"
            help = "give all of them the same unit"
            if is_word(value) or is_word(found[0]):
                help = "write numbers of one unit, or words, or texts"
            ctx.error("S422", f"`{axis.name.text}` has values of two kinds", value, label, help=help)
            return False
    return True


def _sort(value: Expr) -> str:
    return "a word" if isinstance(value, WORDS) and not isinstance(value, Text) else values.sort_of(value)


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
