"""Several classes: `extract diffmean from classes of emotions by label`, `extract pca from emotion`,
`orthogonalize emotion against pcs of neutral`.

In: the statements. Out: their steps. Which classes a data set has, its rows say; so `emotion.joy` is a name here, and
the plan knows whether there is such a class.
"""

from __future__ import annotations

from dataclasses import replace

from steerdsl.lang import nodes
from steerdsl.lang import recipe as r
from steerdsl.lang.lower import data, values, vectors
from steerdsl.lang.lower.clauses import Clauses, sort_clauses
from steerdsl.lang.lower.context import Context, Symbol
from steerdsl.lang.lower.options import options
from steerdsl.lang.nodes import Name
from steerdsl.lang.vocabulary import CLASS_AXES, COMPONENTS

CLASSES, PCS = "classes", "pcs"
METHOD, AXES = "diffmean", "pca"  # the methods of classes, and of axes over them


def of(expr: nodes.Expr | None, word: str) -> nodes.Expr | None:
    """What follows `classes of` or `pcs of`."""
    if isinstance(expr, nodes.Share) and isinstance(expr.share, Name) and expr.share.text == word:
        return expr.whole
    return None


def symbol_of(ctx: Context, expr: nodes.Expr | None) -> Symbol | None:
    """The vectors of classes that a name stands for."""
    symbol = ctx.scope.symbols.get(expr.parts[0]) if isinstance(expr, Name) and len(expr.parts) == 1 else None
    return symbol if symbol is not None and symbol.kind == "classes" else None


def lower_classes(
    ctx: Context, name: str, whole: nodes.Expr, clauses: Clauses, node: nodes.Action, where: tuple[r.Position, r.Stream]
) -> r.Classes | None:
    """`from classes of emotions by label`."""
    by = clauses.amount("by")
    ref = data.reference(ctx, whole, "fit")
    field = None if by is None else by.text if isinstance(by, Name) else values.text(ctx, by, "`by`")
    if by is None:
        help = f"write `from classes of {values.printed(whole)} by label`, with the field that holds each row's class"
        ctx.error("S403", "`classes of` needs the field of the classes", node.verb_span, help=help)
    if not (isinstance(node.subject, Name) and node.subject.text == METHOD):
        help = f"write `extract {METHOD} from classes of …`: each class's mean less the mean of all"
        ctx.error("S361", f"only `{METHOD}` takes several classes", node.subject or node, help=help)
        return None
    if ref is None or field is None:
        return None
    spec = ctx.shared.data[ref.name]
    if spec.two_sided or ref.side or spec.kind == "inline":
        title = f"`{ref.name}` has no field of classes: its rows are {'prompts' if spec.kind == 'inline' else 'sides'}"
        ctx.error("S362", title, whole, help="declare a data set with a prompt and a label in each row")
        return None
    if spec.classes not in (None, field):
        title = f"the classes of `{ref.name}` are already those of `{spec.classes}`"
        ctx.error("S362", title, by or whole, help="declare the data set a second time under another name")
        return None
    ctx.shared.data[ref.name] = replace(spec, classes=field)
    data.fit(ctx, ref, name)
    return r.Classes(name, ref, field, *where, span=node.span)


def lower_axes(ctx: Context, name: str, symbol: Symbol, clauses: Clauses, node: nodes.Action) -> r.ClassAxes | None:
    """`extract pca from emotion with k: 2`: axes over the vectors of classes."""
    if not (isinstance(node.subject, Name) and node.subject.text == AXES):
        help = f"write `extract {AXES} from {symbol.name}`"
        ctx.error("S361", f"only `{AXES}` is taken over the vectors of classes", node.subject or node, help=help)
        return None
    extra = next((label for label in ("at", "on", "by") if label in clauses), None)
    if extra:
        title = f"`{extra}` does not belong to axes over vectors"
        ctx.error("S401", title, clauses.found[extra], help=f"leave it out: `{symbol.name}` says where it was read")
        return None
    ctx.scope.used.add(symbol.name)
    chosen = options(ctx, clauses.given, CLASS_AXES, "extract", node.verb_span)
    return r.ClassAxes(name, symbol.name, chosen.get("k", 1), span=node.span)


def lower_orthogonalize(ctx: Context, node: nodes.Action, name: str) -> r.Bind | r.EachOrthogonal | None:
    """`orthogonalize v against u`, of one vector or of each class's; `u` may be `pcs of neutral`."""
    clauses = sort_clauses(ctx, "orthogonalize", node.clauses)
    against = clauses.amount("against")
    every = symbol_of(ctx, node.subject)
    first = None
    if every is not None:
        ctx.scope.used.add(every.name)
    elif node.subject:
        first = vectors.vector(ctx, node.subject)
    if against is None:
        help = "write `orthogonalize v against u`"
        ctx.error("S403", "`orthogonalize` needs a vector to be orthogonal to", node.verb_span, help=help)
        return None
    whole = of(against, PCS)
    if whole is None and clauses.given:
        title = "`orthogonalize` takes options for `pcs of` alone"
        ctx.error("S363", title, clauses.found["with"], help="leave out `with`, or write `against pcs of neutral`")
        return None
    if every is None and first is None:
        return None
    second = vectors.vector(ctx, against) if whole is None else _components(ctx, whole, clauses, node, every, first)
    if second is None:
        return None
    if every is not None:
        return r.EachOrthogonal(name, every.name, second, span=node.span)
    assert first is not None
    return r.Bind(name, r.Orthogonal(first, second, span=node.span), span=node.span)


def _components(
    ctx: Context,
    whole: nodes.Expr,
    clauses: Clauses,
    node: nodes.Action,
    every: Symbol | None,
    first: r.VectorExpr | None,
) -> r.VectorRef | None:
    """The step that makes `pcs of neutral`, read as the vector was."""
    ref = data.reference(ctx, whole, "fit")
    chosen = options(ctx, clauses.given, COMPONENTS, "orthogonalize", node.verb_span)
    if ref is None:
        return None
    if ref.side is None and ctx.shared.data[ref.name].two_sided:
        help = f"write `{ref.name}.positive` or `{ref.name}.negative`"
        ctx.error("S417", f"`{ref.name}` has two sides", ref.span, help=help)
        return None
    if {"k", "explained"} <= set(chosen):
        ctx.error("S363", "`k` and `explained` both say how many components", clauses.found["with"], help="keep one")
        return None
    source = _source(ctx, every.name if every else _first(first))
    if source is None:
        help = "extract the vector in this recipe: the components are read at its position and stream"
        ctx.error("S363", "it is not known where the vector was read", node.subject or node, help=help)
        return None
    name = ctx.scope.fresh(f"{ref.name}_pcs")
    data.fit(ctx, ref, name)
    where = source.position, source.stream
    ctx.steps.append(r.Components(name, ref, *where, chosen.get("k"), chosen.get("explained", 0.5), span=node.span))
    return r.VectorRef(name, span=node.span)


def _first(expr: r.VectorExpr | None) -> str:
    """The vector that an expression's first term names."""
    while not isinstance(expr, r.VectorRef):
        if expr is None:
            return ""
        expr = expr.vector if isinstance(expr, r.Orthogonal) else expr.terms[0][1]
    return expr.name


def _source(ctx: Context, name: str) -> r.Extract | r.Classes | None:
    """The step that read the prompts behind a vector."""
    named = {step.name: step for step in ctx.before if hasattr(step, "name")}
    for _ in range(len(named) + 1):
        match named.get(name.partition(".")[0]):
            case r.Extract(positive=positive) as step:
                return step if positive is not None else None
            case r.Classes() as step:
                return step
            case r.EachOrthogonal(classes=classes) | r.ClassAxes(classes=classes):
                name = classes
            case r.Bind(value=r.VectorRef() | r.VectorSum() | r.Orthogonal() as value):
                name = _first(value)
            case _:
                return None
    return None
