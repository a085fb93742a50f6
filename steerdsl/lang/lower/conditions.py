"""Conditions: `when proj(v) > 0`, `when cos(v) > 0.3 at layer 12`, `when step < 16`, and flags such as `adaptive`.

In: an operation's `when` clauses. Out: `Condition`s. A condition without a vector reads the
operation's own: its direction, or its plane's first axis.
"""

from __future__ import annotations

from typing import Literal

from steerdsl.lang import nodes
from steerdsl.lang.lower import layers as layer_lists
from steerdsl.lang.lower import values, vectors
from steerdsl.lang.lower.clauses import Clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.options import split_options, typed
from steerdsl.lang.lower.words import entry
from steerdsl.lang.nodes import Name
from steerdsl.lang.recipe import Condition, LayerChoice, LayerPoint, VectorExpr
from steerdsl.registry import Entry

Order = Literal["<", "<=", ">", ">="]
ORDERS: dict[str, Order] = {"<": "<", "<=": "<=", ">": ">", ">=": ">="}


def conditions(ctx: Context, verb: Entry, clauses: Clauses) -> tuple[Condition, ...]:
    """Every condition of an operation, all of which must hold."""
    found = [_condition(ctx, when, layer) for when, layer in clauses.conditions]
    flags = [Condition(*arg.condition) for arg in verb.args if arg.condition and arg.name in clauses]
    return (*flags, *(c for c in found if c is not None))


def _condition(ctx: Context, when: nodes.When, at: nodes.Layers | None) -> Condition | None:
    errors = ctx.errors
    if when.op not in ORDERS:
        ctx.error("S319", f"a condition does not compare with `{when.op}`", when, help="use `<`, `<=`, `>` or `>=`")
        return None
    found, vector = _figure(ctx, when.left)
    threshold = typed(ctx, when.right, found.args[0]) if found else None
    layer = _layer(ctx, at) if at else None
    if found and found.operand == "nothing" and at:
        ctx.error("S319", f"`{found.name}` has no layer", at, help="leave out `at layer`")
    if found is None or threshold is None or ctx.errors > errors:
        return None
    return Condition(found.name, ORDERS[when.op], float(threshold), vector, layer, span=when.span)


def _figure(ctx: Context, expr: nodes.Expr) -> tuple[Entry | None, VectorExpr | None]:
    """What is compared: the condition and its vector."""
    if isinstance(expr, Name):
        found = entry(ctx, "condition", expr.text, expr.span)
        if found and found.operand == "vector":
            help = f"write `{found.name}(topic)`"
            ctx.error("S314", f"`{found.name}` wants a vector in brackets", expr, help=help)
            return None, None
        return found, None
    if not isinstance(expr, nodes.Call):
        help = "write `proj(topic)`, `cos(topic)` or `step` on the left"
        ctx.error("S319", "a condition starts with what it measures", expr, values.sort_of(expr), help=help)
        return None, None
    found = entry(ctx, "condition", expr.name, expr.name_span)
    options, args = split_options(expr.args)
    if found is None:
        return None, None
    if options or len(args) > 1:
        ctx.error("S314", f"`{found.name}` takes one argument", expr, help=f"write `{found.name}(topic)`")
        return None, None
    if not args:
        return found, None
    vector = vectors.vector(ctx, args[0])
    return (found if vector else None), vector


def _layer(ctx: Context, at: nodes.Layers) -> LayerPoint | LayerChoice | None:
    found = layer_lists.layers(ctx, at.items, at)
    if found is None:
        return None
    if not vectors.is_single(ctx, found):
        ctx.error("S310", "a condition is read at one layer", at, help="write one, as in `at layer 12`")
        return None
    item = found.items[0]
    return item if isinstance(item, LayerPoint | LayerChoice) else None
