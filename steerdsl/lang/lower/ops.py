"""Operations: what a steer does, where and when.

In: `ablate topic[6] everywhere keep norm`. Out: an `Op`. Its own clauses and options are the
arguments of its registry entry; where and when are the same for every operation (`sites`).
"""

from __future__ import annotations

from typing import Any

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.lower import data, planes, vectors
from steerdsl.lang.lower.clauses import WORDED, Clauses, is_clause, sort_clauses
from steerdsl.lang.lower.conditions import conditions
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.options import defaults, options, typed
from steerdsl.lang.lower.phrases import listed
from steerdsl.lang.lower.sites import site, times
from steerdsl.lang.lower.strengths import require_measurable
from steerdsl.lang.recipe import Mean, Op, PlaneExpr, PlaneRef, VectorExpr
from steerdsl.registry import Arg, Entry

Operand = VectorExpr | PlaneExpr | PlaneRef


def lower_op(ctx: Context, node: nodes.Operation) -> Op | None:
    """One operation; None after a message."""
    errors = ctx.errors
    entry = registry.find("op", node.verb)
    clauses = sort_clauses(ctx, node.verb, node.clauses)
    operand = _operand(ctx, node, entry)
    args = _args(ctx, node, entry, clauses, operand)
    where, when = site(ctx, node, clauses, entry), times(ctx, clauses)
    tests = conditions(ctx, entry, clauses)
    if ctx.errors > errors or where is None or (operand is None and entry.operand != "nothing"):
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


def _operand(ctx: Context, node: nodes.Operation, entry: Entry) -> Operand | None:
    match entry.operand:
        case "nothing":
            if node.operand is not None:
                ctx.error("S317", f"`{node.verb}` does not take a vector", node.operand, help="leave it out")
            return None
        case "plane":
            if node.operand is not None:
                return planes.plane(ctx, node.operand)
            ctx.error("S403", f"`{node.verb}` needs a plane", node.verb_span, help=f"write `{entry.example}`")
            return None
        case "vector":
            if node.operand is not None:
                return vectors.vector(ctx, node.operand)
            return vectors.implied(ctx, node.verb_span, node.verb + " {}")


def _args(
    ctx: Context, node: nodes.Operation, entry: Entry, clauses: Clauses, operand: Operand | None
) -> dict[str, Any]:
    """The entry's arguments: clauses first, then options, defaults filled in."""
    _complete(ctx, node, entry, clauses)
    worded = [arg for arg in entry.args if arg.name in WORDED]
    result = defaults(worded)
    for arg in worded:
        expr = _clause_value(ctx, node, clauses, arg)
        if expr is not None:
            measure = _measure(ctx, clauses, arg, operand)
            value = _toward(ctx, expr, operand) if arg.type == "data" else typed(ctx, expr, arg, measure)
            result[arg.name] = value
    rest = [arg for arg in entry.args if not is_clause(arg)]
    given = clauses.given
    return {**result, **options(ctx, given, rest, node.verb, node.verb_span)}


def _complete(ctx: Context, node: nodes.Operation, entry: Entry, clauses: Clauses) -> None:
    """Report a clause that is missing, or one too many."""
    for choice in entry.one_of:
        given = [clauses.found[word] for word in choice.clauses if word in clauses]
        if not given:
            ctx.error("S403", f"`{node.verb}` needs {choice.lacks}", node.verb_span, help=choice.help)
        elif len(given) > 1:
            also = (ctx.place(given[0], "it is already given here"),)
            title = f"{listed(choice.clauses)} exclude each other"
            ctx.error("S407", title, given[1], also=also, help=choice.both)


def _clause_value(ctx: Context, node: nodes.Operation, clauses: Clauses, arg: Arg) -> nodes.Expr | None:
    if arg.name != "from":
        return clauses.amount(arg.name)
    clause = clauses.one("from", nodes.From)
    if clause and clause.against:
        ctx.error("S317", f"`{node.verb}` has nothing to compare", clause.against, help="leave out `vs`")
    return clause.source if clause else None


def _measure(ctx: Context, clauses: Clauses, arg: Arg, operand: Operand | None) -> str:
    """The word behind a strength that says what it is measured in; "" where there is none."""
    clause = clauses.one(arg.name, nodes.Amount)
    if clause is None or not clause.measure:
        return ""
    if operand is not None and not isinstance(operand, PlaneExpr | PlaneRef):
        require_measurable(ctx, clause, operand)
    return clause.measure


def _toward(ctx: Context, expr: nodes.Expr, operand: Operand | None) -> Mean | None:
    """`mean(generic)`: of a data set that the operand was fitted on."""
    given = expr.args[0] if isinstance(expr, nodes.Call) and expr.name == "mean" and len(expr.args) == 1 else None
    inner = given.value if isinstance(given, nodes.Option) else given
    if inner is None or isinstance(inner, nodes.Range):
        ctx.error("S318", "`toward` wants a class mean", expr, help="write `toward mean(generic)`")
        return None
    ref = data.reference(ctx, inner, "fit")
    if ref is None or operand is None or isinstance(operand, PlaneExpr | PlaneRef):
        return None
    spelled = f"{ref.name}.{ref.side}" if ref.side else ref.name
    means = vectors.info_of(ctx, operand).means
    if spelled not in means and "*" not in means:
        help = f"write {' or '.join(f'`mean({m})`' for m in means)}" if means else "name a vector extracted from data"
        ctx.error("S318", f"the vector was not fitted on `{spelled}`", inner, "it has no such mean", help=help)
        return None
    return Mean(spelled, span=expr.span)
