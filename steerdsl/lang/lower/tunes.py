"""Searches: `best = tune depth over 20%..80% and strength over 0..4 { … maximize … subject to … }`.

In: the statement. Out: a `Tune` whose one point is the body with the axes left open, and the search's name, by which
what it chooses is written wherever a strength, an angle or a layer may stand (`best.strength`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from steerdsl.lang import nodes
from steerdsl.lang.lower import claims, data, values
from steerdsl.lang.lower.clauses import Clauses, sort_clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.context import Symbol as Known
from steerdsl.lang.lower.names import define
from steerdsl.lang.lower.options import options
from steerdsl.lang.lower.statements import BEST, head
from steerdsl.lang.lower.sweeps import LowerBlock, in_unit, keep_names, name_axis
from steerdsl.lang.lower.word_axes import axis_word, is_word
from steerdsl.lang.nodes import Name, Quantity
from steerdsl.lang.recipe import Check, DataRef, Evaluate, LayerChoice, Point, Step, Tune, TuneAxis
from steerdsl.lang.tuned import Tuned, tuned
from steerdsl.lang.vocabulary import SEARCH

Axes = Mapping[str, TuneAxis | None]  # an axis that was bad has no range


def lower_tune(ctx: Context, node: nodes.Tune, lower_block: LowerBlock) -> None:
    errors, name = ctx.errors, node.name or Name((BEST,), span=ctx.within(node, "tune"))
    axes: Axes = {name_axis(ctx, axis, node): _axis(ctx, axis) for axis in node.axes}
    ctx.scope.used -= axes.keys()
    inner = replace(ctx, scope=ctx.scope.inside(), steps=[], block="tune", axes=dict.fromkeys(axes), around=ctx.before)
    for axis in node.axes:
        word = axis.name.parts[0]
        value, found = _open(name.text, word, word, axes[word]), axes[word]
        place = ctx.place(axis.name, "defined here first")
        inner.scope.symbols[word] = Known(word, "axis" if found else "unknown", place, value, inner.axes)
    lower_block(inner, [statement for statement in node.body if not isinstance(statement, nodes.Goal)])
    steps = _aside(inner, name.text)
    goal = _goal(inner, node, steps) if ctx.errors == errors else None
    keep_names(ctx, inner.scope, axes)
    if ctx.errors == errors:
        _require_used(ctx, node, steps)
    layers = tuned(steps, LayerChoice)
    chosen = {word: _open(name.text, word, f"{name.text}.{word}", axis, layers) for word, axis in axes.items()}
    if not define(ctx, name, "tune", chosen) or ctx.errors > errors or goal is None:
        return
    space = [replace(a, layers=f"{name.text}.{a.name}" in layers) for a in axes.values() if a is not None]
    if all(_whole(ctx, axis, node) for axis in space):
        labels = {axis.name: axis.name for axis in space}
        goal = replace(goal, name=name.text, points=(Point(labels, {}, steps),), space=tuple(space))
        ctx.steps.append(replace(goal, axes=tuple(axes), span=node.span))


def _open(
    search: str, axis: str, text: str, found: TuneAxis | None, layers: Collection[str] | None = None
) -> Quantity | None:
    """The value of an axis while nothing is chosen; `layers` are those that are axes of layers, once that is known."""
    of = f"{search}.{axis}"
    made = Tuned(of, text, layers=None if layers is None else of in layers)
    return Quantity(made, found.unit) if found else None


def _axis(ctx: Context, axis: nodes.Axis) -> TuneAxis | None:
    """An axis's one range."""
    word = axis.name.text
    if any(is_word(axis_word(ctx, item)) for item in axis.items if not isinstance(item, nodes.Range)):
        help = "put the search into a recipe for each word, or sweep over the words with fixed numbers"
        ctx.error("S481", f"a search has ranges of numbers, and `{word}` goes over words", axis, help=help)
        return None
    if len(axis.items) != 1 or not isinstance(axis.items[0], nodes.Range):
        help = f"write the ends of its range, as in `{word} over 0..4`; a `sweep` goes through a list"
        ctx.error("S467", f"a search takes one range for `{word}`", axis, help=help)
        return None
    item = axis.items[0]
    start, stop = (values.quantity(ctx, end, f"`{word}`", "numbers", "25%") for end in (item.start, item.stop))
    step = values.quantity(ctx, item.step, "`step`", "a number", "10deg") if item.step else None
    if start is None or stop is None or (item.step and step is None):
        return None
    high, width = in_unit(stop, start), None if step is None else in_unit(step, start)
    if high is None or (step is not None and width is None):
        help = "give all of them the same unit"
        ctx.error("S422", "a range and its step have one unit", item, help=help)
        return None
    if high <= start.value or (width is not None and not 0 < width <= high - start.value):
        help = "write the smaller value first, and a step between them"
        ctx.error("S467", "this range has nothing to search", item, help=help)
        return None
    return TuneAxis(word, start.value, high, start.unit, width)


def _whole(ctx: Context, axis: TuneAxis, node: nodes.Tune) -> bool:
    """Whether an axis of layers has layers for its ends."""
    at = next(a for a in node.axes if a.name.parts[0] == axis.name)
    if not axis.layers:
        return True
    if axis.unit == "" and axis.low >= 0 and axis.low == int(axis.low) and axis.high == int(axis.high):
        return True
    if axis.unit == "%" and axis.low >= 0 and axis.high <= 100:
        return True
    help = "write layers, as in `4..20`, or depths, as in `20%..80%`"
    title = f"`{axis.name}` says at which layers something acts, and its range is not one of layers"
    ctx.error("S467", title, at, help=help)
    return False


def _aside(inner: Context, search: str) -> tuple[Step, ...]:
    """The body's steps, whose evaluations look at the part that is set aside."""
    made: list[Step] = []
    for step in inner.steps:
        if isinstance(step, Evaluate):
            step = replace(step, data=tuple(_part(inner, ref, search) for ref in step.data))
        made.append(step)
    return tuple(made)


def _part(ctx: Context, ref: DataRef, search: str) -> DataRef:
    if ref.reason and ref.split != "tune":
        help = f"write `{ref.name}`: the search takes the part that is set aside for it"
        ctx.error("S464", f"a search does not look at `{ref.name}.{ref.split}`", ref.span, help=help)
        return ref
    return data.set_aside(ctx, ref, search)


def _goal(ctx: Context, node: nodes.Tune, steps: Sequence[Step]) -> Tune | None:
    """What the search is for, its limits and how many points it tries."""
    scored = [step for step in steps if isinstance(step, Evaluate)]
    goals = [statement for statement in node.body if isinstance(statement, nodes.Goal)]
    if not scored:
        help = "write an `evaluate` into its block"
        ctx.error("S463", "this search scores nothing", node.axes[0], help=help)
    elif not goals:
        help = f"write `maximize {scored[0].name}.{scored[0].metrics[0].name}` into its block"
        ctx.error("S463", "this search has nothing to make better", node.axes[0], help=help)
    elif len(goals) > 1:
        help = "keep one, and write the other as a limit: `subject to …`"
        ctx.error("S463", "a search has one goal", head(goals[1])[1], help=help)
    else:
        return _lowered(ctx, goals[0], scored)
    return None


def _lowered(ctx: Context, goal: nodes.Goal, scored: Sequence[Evaluate]) -> Tune | None:
    errors = ctx.errors
    clauses = sort_clauses(ctx, goal.word, goal.clauses)
    found = options(ctx, clauses.given, SEARCH, goal.word, goal)
    what = claims.figure(ctx, _named(ctx, goal.what, scored))
    if what is not None and not any(term.path for term in what.terms):
        help = f"write a score, as in `{goal.word} {scored[0].name}.{scored[0].metrics[0].name}`"
        ctx.error("S421", "a search is for a score", goal.what, help=help)
    elif what is not None and not all(term.path for term in what.terms):
        help = "leave the control out: the trials are compared with each other"
        ctx.error("S421", "a search is for scores, and a control alone is none", goal.what, help=help)
    elif what is not None and {term.path[0] for term in what.terms}.isdisjoint(step.name for step in scored):
        help = f"write a score of `{scored[0].name}`, which the trials change"
        ctx.error("S463", "no trial changes this score", goal.what, help=help)
    limits = _limits(ctx, clauses, scored)
    if ctx.errors > errors or what is None:
        return None
    text = f"{goal.word} {ctx.written(goal.what)}"
    return Tune("", (), (), goal=what, maximize=goal.word == "maximize", limits=limits, text=text, **found)


def _limits(ctx: Context, clauses: Clauses, scored: Sequence[Evaluate]) -> tuple[Check, ...]:
    clause = clauses.one("subject to", nodes.Subject)
    made = []
    for limit in clause.limits if clause else ():
        if limit.op in ("==", "!="):
            help = "write `<`, `<=`, `>` or `>=`"
            ctx.error("S467", f"a limit does not compare with `{limit.op}`", limit, help=help)
            continue
        left, right = _named(ctx, limit.left, scored), _named(ctx, limit.right, scored)
        made.append(claims.compared(ctx, replace(limit, left=left, right=right)))
    return tuple(limit for limit in made if limit is not None)


def _named(ctx: Context, expr: nodes.Expr, scored: Sequence[Evaluate]) -> nodes.Expr:
    """The expression with the evaluation's name before the metrics that stand alone, where there is only one."""
    match expr:
        case Name(parts=(first, *_)) if len(scored) == 1 and first not in ctx.scope.symbols:
            if any(call.label == first for call in scored[0].metrics):
                return Name((scored[0].name, *expr.parts), span=expr.span)
        case nodes.Binary():
            left, right = _named(ctx, expr.left, scored), _named(ctx, expr.right, scored)
            return replace(expr, left=left, right=right)
        case nodes.Negative():
            return replace(expr, value=_named(ctx, expr.value, scored))
        case nodes.Share():
            return replace(expr, whole=_named(ctx, expr.whole, scored))
        case _:
            pass
    return expr


def _require_used(ctx: Context, node: nodes.Tune, steps: Sequence[Step]) -> None:
    """Report an axis that no step waits for."""
    waits = {name.rpartition(".")[2] for name in tuned(tuple(steps))}
    for axis in node.axes:
        if axis.name.text not in waits:
            help = "write it where something changes with it, or leave the axis out"
            ctx.error("S468", f"nothing depends on `{axis.name.text}`", axis.name, "every trial is the same", help=help)
