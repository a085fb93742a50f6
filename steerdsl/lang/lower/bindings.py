"""Bindings and verbs: `topic = extract …`, `turn = plane(topic, pc1)`, and verbs without a name.

In: the statement. Out: a step in `ctx.steps` and the name in `ctx.scope`. A name is known
afterwards even when its definition was bad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from steerdsl.lang import nodes
from steerdsl.lang import recipe as r
from steerdsl.lang.lower import class_vectors, planes, values, vectors
from steerdsl.lang.lower.clauses import sort_clauses
from steerdsl.lang.lower.context import Context, Symbol
from steerdsl.lang.lower.extraction import info_of, lower_extract
from steerdsl.lang.lower.measures import lower_evaluate, lower_generate, written_steer
from steerdsl.lang.lower.names import define
from steerdsl.lang.lower.outputs import lower_load
from steerdsl.lang.lower.reading_steps import lower_read
from steerdsl.lang.lower.selection import lower_select
from steerdsl.registry import find

VECTOR_NAME = "vector"


def lower_binding(ctx: Context, node: nodes.Binding) -> None:
    name = node.name.parts[0]
    if isinstance(node.value, nodes.Value):
        _bind_value(ctx, node, node.value)
        return
    step = LOWER[node.value.verb](ctx, node.value, name)
    kind: Any = find("statement", node.value.verb).gives
    if isinstance(step, r.Classes | r.EachOrthogonal) or (step is None and _of_classes(ctx, node.value)):
        kind = "classes"
    if define(ctx, node.name, kind, _known(ctx, step)) and step is not None:
        ctx.steps.append(step)


def _of_classes(ctx: Context, node: nodes.Action) -> bool:
    """Whether a statement that was not understood would have given the vectors of classes."""
    source = next((clause.source for clause in node.clauses if isinstance(clause, nodes.From)), None)
    return class_vectors.of(source, class_vectors.CLASSES) is not None or (
        node.verb == "orthogonalize" and class_vectors.symbol_of(ctx, node.subject) is not None
    )


def _known(ctx: Context, step: r.Step | None) -> Any:
    """What later statements must know of the value of a step."""
    match step:
        case r.Extract(options={"like": like}):
            return replace(info_of(step), unread=vectors.info_of(ctx, like).unread)
        case r.Extract():
            return info_of(step)
        case r.Select(keep=keep):
            return keep
        case r.Bind(value=r.VectorRef() | r.VectorSum() | r.Orthogonal() as vector):
            return vectors.info_of(ctx, vector)
        case r.Load():
            return vectors.VectorInfo(unread=f"`{step.name}` was loaded from a file")
        case r.ClassAxes():
            return vectors.VectorInfo(unread=f"`{step.name}` is made of several classes")
        case r.Evaluate() | r.Read():
            return step
    return None


LOWER: Mapping[str, Callable[[Context, nodes.Action, str], r.Step | None]] = {
    "extract": lower_extract,
    "select": lower_select,
    "orthogonalize": class_vectors.lower_orthogonalize,
    "load": lower_load,
    "generate": lower_generate,
    "evaluate": lower_evaluate,
    "read": lower_read,
}


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
    bound: r.VectorExpr | r.PlaneExpr | r.PlaneRef | None
    bound = planes.plane(ctx, value.expr, clauses) if is_plane else vectors.vector(ctx, value.expr)
    if isinstance(bound, r.PlaneRef):
        symbol = ctx.scope.symbols[bound.name]
        bound = symbol.value if isinstance(symbol.value, r.PlaneExpr) else None
    info = bound if bound is None or isinstance(bound, r.PlaneExpr) else vectors.info_of(ctx, bound)
    if define(ctx, node.name, "plane" if is_plane else "vector", info) and bound is not None:
        ctx.steps.append(r.Bind(node.name.parts[0], bound, span=node.span))


def _is_plane(ctx: Context, expr: nodes.Expr) -> bool:
    if isinstance(expr, nodes.Name):
        symbol = ctx.scope.symbols.get(expr.parts[0])
        return symbol is not None and symbol.kind == "plane"
    return isinstance(expr, nodes.Call) and expr.name == "plane"


def lower_action(ctx: Context, node: nodes.Action) -> None:
    """A verb without a name: an extraction is the implied vector, answers and scores get a name."""
    if node.verb == "extract":
        _unbound_extract(ctx, node)
        return
    match LOWER[node.verb](ctx, node, ""):
        case r.Generate() as answers:
            name = ctx.scope.fresh(f"{written_steer(ctx, node) or answers.steer or 'baseline'}_answers")
            ctx.steps.append(replace(answers, name=name))
        case r.Evaluate() as scores:
            name = ctx.scope.fresh(f"{written_steer(ctx, node) or scores.steer}_scores")
            ctx.steps.append(replace(scores, name=name))
        case r.Read() as reading:
            ctx.steps.append(replace(reading, name=ctx.scope.fresh(f"{reading.vector.name}_reading")))
        case _ if node.verb not in ("generate", "evaluate", "read"):
            help = f"name it: `{'best' if node.verb == 'select' else 'v'} = {node.verb} …`"
            ctx.error("S424", f"nothing can use what this `{node.verb}` gives", node.verb_span, help=help)


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
    step = lower_extract(ctx, node, name if not _of_classes(ctx, node) else "", implied=True)
    scope.unbound.append((name, place))
    scope.symbols[name] = Symbol(
        name, "vector", place, info_of(step) if isinstance(step, r.Extract) else None, ctx.axes
    )
    if step is not None:
        ctx.steps.append(step)
