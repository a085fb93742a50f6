"""Vectors: names, single layers of them, and sums.

In: an expression, or nothing where the implied vector is meant. Out: a `VectorExpr`; `info_of` says
what is known of one without running anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from steerdsl.lang import nodes
from steerdsl.lang.lower import layers as layer_lists
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.names import defined, find, named, part_span
from steerdsl.lang.lower.phrases import listed
from steerdsl.lang.nodes import Name, Quantity
from steerdsl.lang.recipe import LayerChoice, LayerPoint, Layers, Orthogonal, VectorExpr, VectorRef, VectorSum
from steerdsl.lang.source import Span
from steerdsl.registry import entries


@dataclass(frozen=True, slots=True)
class VectorInfo:
    """What is known of a vector before anything runs.

    `trained`: it has a direction and training statistics for each layer, so that a layer can be
    chosen. `fixed`: it is no longer one direction for each layer. `means`: the class means that it
    has, as `mean(…)` names them. `unread`: why no training prompts of it are known, where there are none.
    """

    trained: bool = False
    fixed: bool = False
    means: tuple[str, ...] = ()
    unread: str = ""


def vector(ctx: Context, expr: nodes.Expr) -> VectorExpr | None:
    """The vector that an expression stands for; None after a message."""
    match expr:
        case Name():
            return _named(ctx, expr)
        case nodes.Index():
            return _indexed(ctx, expr)
        case nodes.Binary(op="*"):
            return _scaled(ctx, expr)
        case nodes.Binary(op=op):
            left, right = vector(ctx, expr.left), vector(ctx, expr.right)
            if left is None or right is None:
                return None
            return VectorSum((*_terms(left), *_times(-1.0 if op == "-" else 1.0, right)), span=expr.span)
        case nodes.Negative(value=inner):
            negated = vector(ctx, inner)
            return VectorSum(_times(-1.0, negated), span=expr.span) if negated else None
        case nodes.Call(name="plane"):
            ctx.error(
                "S309", "a vector is wanted here", expr, "a plane", help="write a vector; `rotate` acts in a plane"
            )
        case nodes.Call(name=name):
            help = _extracted(expr) or _examples(ctx)
            ctx.error("S309", "a vector is wanted here", expr.name_span, f"`{name}(…)` is none", help=help)
        case _:
            ctx.error("S309", "a vector is wanted here", expr, values.sort_of(expr), help=_examples(ctx))
    return None


def _extracted(call: nodes.Call) -> str | None:
    """The statement that `diffmean(econ, generic)` means, where it is named as a method or by an alias of one."""
    known = {word: entry.name for entry in entries("extract").values() for word in (entry.name, *entry.aliases)}
    method = known.get(call.name.lower())
    sides = [arg.text for arg in call.args if isinstance(arg, Name)]
    if method is None:
        return None
    return f"write `extract {method} from {' vs '.join(sides) if len(sides) == 2 else 'econ vs generic'}`"


def _examples(ctx: Context) -> str:
    known = named(ctx, ("vector",))
    return f"write {listed(known)}" if known else "extract one first: `topic = extract diffmean from econ vs generic`"


def _named(ctx: Context, name: Name) -> VectorRef | None:
    symbol = ctx.scope.symbols.get(name.parts[0])
    holds = symbol is not None and symbol.kind in ("param", "axis")
    if symbol and holds and isinstance(symbol.value, Name) and symbol.value != name:
        ctx.scope.used.add(symbol.name)
        return _named(ctx, Name(symbol.value.parts, span=name.span))
    if symbol and symbol.kind == "plane":
        ctx.scope.used.add(symbol.name)
        help = "write a vector; `rotate` acts in a plane"
        label = f"`{symbol.name}` is a plane"
        ctx.error("S309", "a vector is wanted here", name, label, also=(defined(symbol),), help=help)
        return None
    if symbol and symbol.kind == "classes" and len(name.parts) == 2:
        found = find(ctx, name, "classes")
        return None if found is None else VectorRef(name.text, span=name.span)
    if symbol and symbol.kind == "classes":
        ctx.scope.used.add(symbol.name)
        title = f"`{symbol.name}` is a vector for each class"
        ctx.error(
            "S309", "a vector is wanted here", name, title, also=(defined(symbol),), help=_of_a_class(symbol.name)
        )
        return None
    found = find(ctx, name, "vector")
    if found is None:
        return None
    if len(name.parts) > 1 and found.kind == "vector":
        help = f"write `{found.name}`, or `{found.name}[16]` for one layer's direction"
        ctx.error("S213", f"a vector has no part `{name.parts[1]}`", part_span(name, 1), help=help)
        return None
    return VectorRef(found.name, span=name.span)


def _of_a_class(name: str) -> str:
    return f"name one class, as in `{name}.joy`, or the axes over them: `extract pca from {name}`"


def _indexed(ctx: Context, expr: nodes.Index) -> VectorRef | None:
    if not isinstance(expr.base, Name):
        help = "bind it to a name first, then index the name"
        ctx.error(
            "S310", "only a named vector has layers to choose from", expr.base, values.sort_of(expr.base), help=help
        )
        return None
    base = _named(ctx, expr.base)
    chosen = layer_lists.layers(ctx, expr.items, expr)
    if base is None or chosen is None:
        return None
    if info_of(ctx, base).fixed:
        help = f"write `{base.name}` alone"
        ctx.error("S310", f"`{base.name}` is one direction for every layer", expr, help=help)
        return None
    return VectorRef(base.name, chosen, span=expr.span)


def _scaled(ctx: Context, expr: nodes.Binary) -> VectorSum | None:
    left, right = values.constant(ctx, expr.left), values.constant(ctx, expr.right)
    if left is None or right is None:
        return None
    factor, other = (left, expr.right) if isinstance(left, Quantity) else (right, expr.left)
    if not isinstance(factor, Quantity):
        ctx.error("S313", "two vectors cannot be multiplied", expr, help="multiply a vector by a plain number")
        return None
    if factor.unit:
        help = f"write a plain number, as in `{factor.value / 100 if factor.unit == '%' else 2:.12g} * …`"
        ctx.error("S313", "a vector is multiplied by a plain number", factor, values.sort_of(factor), help=help)
        return None
    inner = vector(ctx, other)
    return VectorSum(_times(factor.value, inner), span=expr.span) if inner else None


def _terms(expr: VectorExpr) -> tuple[tuple[float, VectorExpr], ...]:
    return expr.terms if isinstance(expr, VectorSum) else ((1.0, expr),)


def _times(factor: float, expr: VectorExpr) -> tuple[tuple[float, VectorExpr], ...]:
    return tuple((factor * coefficient, term) for coefficient, term in _terms(expr))


def info_of(ctx: Context, expr: VectorExpr) -> VectorInfo:
    """What is known of a vector; of one whose definition was bad, what causes no further error."""
    match expr:
        case VectorRef(name=name, layers=chosen):
            symbol = ctx.scope.symbols.get(name)
            info = symbol.value if symbol else None
            known = info if isinstance(info, VectorInfo) else VectorInfo(trained=True, means=("*",))
            family = ctx.scope.symbols.get(name.partition(".")[0])
            if symbol is None and family is not None and family.kind == "classes":
                known = VectorInfo(unread=f"`{name}` is the vector of one of several classes")
            return known if chosen is None else replace(known, fixed=True)
        case VectorSum(terms=terms):
            infos = [info_of(ctx, term) for _, term in terms]
            return VectorInfo(fixed=all(info.fixed for info in infos), unread=_unread(infos))
        case Orthogonal():
            both = info_of(ctx, expr.vector), info_of(ctx, expr.against)
            return VectorInfo(fixed=all(info.fixed for info in both), unread=_unread(both))


def _unread(infos: Sequence[VectorInfo]) -> str:
    """Why the training prompts of a sum are not all known."""
    return next((info.unread for info in infos if info.unread), "")


def is_single(ctx: Context, chosen: Layers) -> bool:
    """Whether these layers can be but one."""
    if len(chosen.items) != 1:
        return False
    item = chosen.items[0]
    if isinstance(item, LayerChoice):
        symbol = ctx.scope.symbols.get(item.select)
        return symbol is None or symbol.value in (None, 1)
    return isinstance(item, LayerPoint)


def implied(ctx: Context, at: Span, form: str) -> VectorRef | None:
    """The vector that an operation without an operand means; `form` shows how to name one."""
    if ctx.scope.unbound:
        name, _ = ctx.scope.unbound[0]
        ctx.scope.used.add(name)
        return VectorRef(name, span=at)
    bound = named(ctx, ("vector",))
    if len(bound) == 1:
        ctx.scope.used.add(bound[0])
        return VectorRef(bound[0], span=at)
    if named(ctx, ("unknown",)):
        return None
    if bound:
        title, help = f"which vector is meant: {listed(bound)}?", f"name it, as in `{form.format(bound[0])}`"
    else:
        title = "there is no vector to act with"
        help = "extract one before this line, as in `extract diffmean from econ vs generic at last_token`"
    ctx.error("S413", title, at, help=help)
    return None
