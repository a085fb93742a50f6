"""Bindings and verbs: `topic = extract …`, `turn = plane(topic, pc1)`, and verbs without a name.

In: the statement. Out: a step in `ctx.steps` and the name in `ctx.scope`. A name is known
afterwards even when its definition was bad.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from steerdsl.lang import nodes
from steerdsl.lang.lower import planes, values, vectors
from steerdsl.lang.lower.clauses import sort_clauses
from steerdsl.lang.lower.context import Context, Symbol, SymbolKind
from steerdsl.lang.lower.extraction import info_of, lower_extract
from steerdsl.lang.lower.measures import lower_evaluate, lower_generate
from steerdsl.lang.lower.names import define
from steerdsl.lang.lower.outputs import lower_load
from steerdsl.lang.lower.selection import lower_select
from steerdsl.lang.recipe import Bind, Evaluate, Generate, PlaneExpr, PlaneRef, Step, VectorExpr

S = TypeVar("S", Generate, Evaluate)

GIVES: dict[str, SymbolKind] = {"select": "choice", "generate": "answers", "evaluate": "scores"}
VECTOR_NAME = "vector"


def lower_binding(ctx: Context, node: nodes.Binding) -> None:
    name = node.name.parts[0]
    if isinstance(node.value, nodes.Value):
        _bind_value(ctx, node, node.value)
        return
    step, value = _step(ctx, node.value, name)
    kind = GIVES.get(node.value.verb, "vector")
    if define(ctx, node.name, kind, value) and step is not None:
        ctx.steps.append(step)


def _step(ctx: Context, node: nodes.Action, name: str) -> tuple[Step | None, Any]:
    """The step of a verb, and what later statements must know of its value."""
    match node.verb:
        case "extract":
            extract = lower_extract(ctx, node, name)
            return extract, info_of(extract) if extract else None
        case "select":
            select = lower_select(ctx, node, name)
            return select, select.keep if select else None
        case "orthogonalize":
            clauses = sort_clauses(ctx, "orthogonalize", node.clauses)
            vector = vectors.lower_orthogonalize(ctx, node, clauses.amount("against"))
            return (Bind(name, vector, span=node.span), vectors.info_of(ctx, vector)) if vector else (None, None)
        case "load":
            load = lower_load(ctx, node, name)
            return load, vectors.VectorInfo() if load else None
        case "generate":
            return lower_generate(ctx, node, name), None
        case _:
            evaluate = lower_evaluate(ctx, node, name)
            return evaluate, evaluate


def _bind_value(ctx: Context, node: nodes.Binding, value: nodes.Value) -> None:
    """`turn = plane(…)`, `sum = warm - 0.5 * formal`, or another name for a vector or plane."""
    if isinstance(value.expr, nodes.Quantity | nodes.Text | nodes.List):
        name, written = node.name.text, ctx.source.text[value.expr.span.start : value.expr.span.end]
        help = f"write `param {name} = {written}`"
        ctx.error("S309", "a vector or a plane is wanted here", value.expr, values.sort_of(value.expr), help=help)
        define(ctx, node.name, "unknown")
        return
    is_plane = _is_plane(ctx, value.expr)
    clauses = sort_clauses(ctx, "plane" if is_plane else "vector", value.clauses)
    bound: VectorExpr | PlaneExpr | PlaneRef | None
    bound = planes.plane(ctx, value.expr, clauses) if is_plane else vectors.vector(ctx, value.expr)
    if isinstance(bound, PlaneRef):
        symbol = ctx.scope.symbols[bound.name]
        bound = symbol.value if isinstance(symbol.value, PlaneExpr) else None
    info = bound if bound is None or isinstance(bound, PlaneExpr) else vectors.info_of(ctx, bound)
    if define(ctx, node.name, "plane" if is_plane else "vector", info) and bound is not None:
        ctx.steps.append(Bind(node.name.parts[0], bound, span=node.span))


def _is_plane(ctx: Context, expr: nodes.Expr) -> bool:
    if isinstance(expr, nodes.Name):
        symbol = ctx.scope.symbols.get(expr.parts[0])
        return symbol is not None and symbol.kind == "plane"
    return isinstance(expr, nodes.Call) and expr.name == "plane"


def lower_action(ctx: Context, node: nodes.Action) -> None:
    """A verb without a name: an extraction is the implied vector, answers and scores get a name."""
    match node.verb:
        case "extract":
            _unbound_extract(ctx, node)
        case "generate":
            answers = lower_generate(ctx, node, "")
            if answers:
                ctx.steps.append(_called(ctx, answers, f"{answers.steer or 'baseline'}_answers"))
        case "evaluate":
            scores = lower_evaluate(ctx, node, "")
            if scores:
                ctx.steps.append(_called(ctx, scores, f"{scores.steer}_scores"))
        case verb:
            _step(ctx, node, "")
            name = "best" if verb == "select" else "v"
            ctx.error(
                "S424",
                f"nothing can use what this `{verb}` gives",
                node.verb_span,
                help=f"name it: `{name} = {verb} …`",
            )


def _called(ctx: Context, step: S, base: str) -> S:
    return replace(step, name=ctx.scope.fresh(base))


def _unbound_extract(ctx: Context, node: nodes.Action) -> None:
    scope = ctx.scope
    place = ctx.place(node.verb_span, "the first one")
    if scope.unbound:
        help = "give each a name, as in `topic = extract …`, and name it where it is used"
        also = (scope.unbound[0][1],)
        ctx.error("S414", "two extractions without a name", node.verb_span, "which one is meant?", also=also, help=help)
        lower_extract(ctx, node, "", implied=True)
        return
    name = scope.fresh(VECTOR_NAME)
    step = lower_extract(ctx, node, name, implied=True)
    scope.unbound.append((name, place))
    scope.symbols[name] = Symbol(name, "vector", place, info_of(step) if step else None, ctx.axes)
    if step is not None:
        ctx.steps.append(step)
