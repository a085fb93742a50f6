"""Operations: what a steer does, where and when.

In: `ablate topic[6] everywhere keep norm`. Out: an `Op`. Its own clauses and options are the
arguments of its registry entry; where and when are the same for every operation (`sites`).
"""

from __future__ import annotations

from typing import Any

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.lower import data, planes, vectors
from steerdsl.lang.lower.clauses import WORDED, Clauses, sort_clauses
from steerdsl.lang.lower.conditions import conditions
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.options import example, options, typed, with_items
from steerdsl.lang.lower.phrases import listed
from steerdsl.lang.lower.sites import site, times
from steerdsl.lang.recipe import Mean, Op, PlaneExpr, PlaneRef, VectorExpr
from steerdsl.registry import Arg, Entry

Operand = VectorExpr | PlaneExpr | PlaneRef

IN_PLANE = frozenset({"rotate"})
ALONE = frozenset({"patch"})  # with no vector and no plane
EITHER = {"rotate": ("by", "to")}  # exactly one of these

# What an operation lacks when a clause of its own is missing, and how that is written.
MISSING = {
    "add": ("a strength", "write `by 10%` (a share of each token's norm) or `by 2` (twice the raw vector)"),
    "clamp": ("a value", "write `to 12`: the coordinate along the unit vector afterwards"),
    "cap": ("a value", "write `to 12`: the largest coordinate along the unit vector that is left"),
    "patch": ("another prompt", 'write `patch from "What is inflation?"`'),
    "rotate": ("an angle", "write `by 30deg` (from where it is) or `to 30deg` (from the first axis)"),
}


def lower_op(ctx: Context, node: nodes.Operation) -> Op | None:
    """One operation; None after a message."""
    errors = ctx.errors
    clauses = sort_clauses(ctx, node.verb, node.clauses)
    operand = _operand(ctx, node)
    args = _args(ctx, node, registry.find("op", node.verb), clauses, operand)
    where, when = site(ctx, node, clauses), times(ctx, clauses)
    tests = conditions(ctx, clauses)
    if ctx.errors > errors or where is None or (operand is None and node.verb not in ALONE):
        return None
    return Op(
        node.verb,
        operand,
        args,
        where.layers,
        where.streams,
        where.everywhere,
        when.phase,
        when.first,
        when.after,
        tests,
        "keep norm" in clauses,
        ctx.written(node),
        span=node.span,
    )


def _operand(ctx: Context, node: nodes.Operation) -> Operand | None:
    if node.verb in ALONE:
        if node.operand is not None:
            ctx.error("S317", f"`{node.verb}` acts with no vector", node.operand, help="leave it out")
        return None
    if node.verb in IN_PLANE:
        if node.operand is not None:
            return planes.plane(ctx, node.operand)
        help = "write `rotate plane(topic, pc1) by 30deg`"
        ctx.error("S403", f"`{node.verb}` needs a plane", node.verb_span, help=help)
        return None
    if node.operand is not None:
        return vectors.vector(ctx, node.operand)
    return vectors.implied(ctx, node.verb_span, node.verb + " {}")


def _args(
    ctx: Context, node: nodes.Operation, entry: Entry, clauses: Clauses, operand: Operand | None
) -> dict[str, Any]:
    """The entry's arguments: clauses first, then options, defaults filled in."""
    result: dict[str, Any] = {}
    _complete(ctx, node, entry, clauses)
    for arg in entry.args:
        expr = _clause_value(ctx, clauses, arg)
        if expr is not None:
            value = _toward(ctx, expr, operand) if arg.type == "data" else typed(ctx, expr, arg)
            result[arg.name] = value
        elif arg.name in WORDED and not arg.required and arg.default is not None:
            result[arg.name] = arg.default
    rest = [arg for arg in entry.args if arg.name not in WORDED and arg.type != "flag"]
    given = with_items(clauses.one("with", nodes.With))
    return {**result, **options(ctx, given, rest, node.verb, node.verb_span)}


def _complete(ctx: Context, node: nodes.Operation, entry: Entry, clauses: Clauses) -> None:
    """Report an own clause that is missing, or one too many."""
    either = EITHER.get(node.verb, ())
    both = [clauses.found[word] for word in either if word in clauses]
    missing = [arg for arg in entry.args if arg.required and arg.name in WORDED and arg.name not in clauses]
    if len(both) > 1:
        help = "keep one: `by` turns from where the activation is, `to` from the plane's first axis"
        also = (ctx.place(both[0], "it stands here already"),)
        ctx.error("S407", f"{listed(either)} exclude each other", both[1], also=also, help=help)
    if node.verb in MISSING and (missing or (either and not both)):
        what, help = MISSING[node.verb]
        ctx.error("S403", f"`{node.verb}` needs {what}", node.verb_span, help=help)
    elif missing:
        help = f"write `{missing[0].name} {example(missing[0])}`"
        ctx.error("S403", f"`{node.verb}` needs `{missing[0].name}`", node.verb_span, help=help)


def _clause_value(ctx: Context, clauses: Clauses, arg: Arg) -> nodes.Expr | None:
    if arg.name != "from":
        return clauses.amount(arg.name)
    clause = clauses.one("from", nodes.From)
    if clause and clause.against:
        ctx.error("S317", "`patch` takes one prompt", clause.against, help="leave out `vs`")
    return clause.source if clause else None


def _toward(ctx: Context, expr: nodes.Expr, operand: Operand | None) -> Mean | None:
    """`mean(generic)`: of a data set that the operand was fitted on."""
    if not isinstance(expr, nodes.Call) or expr.name != "mean" or len(expr.args) != 1:
        ctx.error("S318", "`toward` wants a class mean", expr, help="write `toward mean(generic)`")
        return None
    inner = expr.args[0]
    ref = data.reference(ctx, inner.value if isinstance(inner, nodes.Option) else inner, "fit")
    if ref is None or operand is None or isinstance(operand, PlaneExpr | PlaneRef):
        return None
    spelled = f"{ref.name}.{ref.side}" if ref.side else ref.name
    means = vectors.info_of(ctx, operand).means
    if spelled not in means and "*" not in means:
        help = f"write {' or '.join(f'`mean({m})`' for m in means)}" if means else "name a vector extracted from data"
        ctx.error("S318", f"the vector was not fitted on `{spelled}`", inner, "it has no such mean", help=help)
        return None
    return Mean(spelled, span=expr.span)
