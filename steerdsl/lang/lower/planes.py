"""Planes: `plane(topic, pc1)`, `plane(pc1)`, `plane(u, v)`, and the layer that their first axis takes.

In: the call, with the binding's clauses where it has some. Out: a `PlaneExpr` or `PlaneRef`. A first
axis without an index gets an implied `select` by dispersion, one for each vector.
"""

from __future__ import annotations

from dataclasses import replace

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.lower import layers as layer_lists
from steerdsl.lang.lower import values, vectors
from steerdsl.lang.lower.clauses import Clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.names import find, named
from steerdsl.lang.lower.options import defaults, options, split_options
from steerdsl.lang.lower.phrases import NOUNS, either
from steerdsl.lang.lower.selection import DEFAULT_CRITERION
from steerdsl.lang.nodes import Name
from steerdsl.lang.recipe import LayerChoice, Layers, PlaneExpr, PlaneRef, Select, VectorExpr, VectorRef
from steerdsl.lang.vocabulary import PLANE


def plane(ctx: Context, expr: nodes.Expr, clauses: Clauses | None = None) -> PlaneExpr | PlaneRef | None:
    """The plane that an expression stands for; None after a message."""
    expr = values.put_in(ctx, expr)
    if isinstance(expr, nodes.Call) and expr.name == "plane":
        return _call(ctx, expr, clauses or Clauses())
    if isinstance(expr, Name) and len(expr.parts) == 1:
        symbol = ctx.scope.symbols.get(expr.text)
        if symbol is None or symbol.kind in ("plane", "unknown"):
            return PlaneRef(expr.text, span=expr.span) if find(ctx, expr, "plane") else None
        ctx.scope.used.add(symbol.name)
        label = f"`{expr.text}` is {NOUNS[symbol.kind]}"
        help = f"write `plane({expr.text}, pc1)`" if symbol.kind == "vector" else "write `plane(topic, pc1)`"
    else:
        vector = vectors.vector(ctx, expr)
        if vector is None:
            return None
        name = vector.name if isinstance(vector, VectorRef) else "topic"
        label, help = "a vector", f"write `plane({name}[16], pc1)`"
    ctx.error("S308", "a plane is wanted here", expr, label, help=help)
    return None


def _call(ctx: Context, call: nodes.Call, clauses: Clauses) -> PlaneExpr | None:
    named_options, written = split_options(call.args)
    axes = [values.put_in(ctx, axis) for axis in written]
    if not 1 <= len(axes) <= 2:
        help = "write `plane(topic, pc1)`, or `plane(pc1)` with the vector implied"
        ctx.error("S314", f"a plane has two axes, not {len(axes)}", call, help=help)
        return None
    if len(axes) == 2 and _is_word(ctx, axes[0]):
        help = f"write `plane({values.printed(axes[1])}, {values.printed(axes[0])})`"
        ctx.error("S212", "the second axis comes first", axes[0], help=help)
        return None
    second = _second(ctx, axes[-1])
    if len(axes) == 2:
        first = vectors.vector(ctx, axes[0])
    else:
        first = vectors.implied(ctx, call.name_span, "plane({}, pc1)") if second else None
    from_layers = clauses.one("from layers", nodes.Layers)
    candidates = layer_lists.layers(ctx, from_layers.items, from_layers) if from_layers else Layers()
    given = (*named_options, *clauses.given)
    own = registry.find("plane", second).args if isinstance(second, str) else ()
    chosen = options(ctx, given, (*PLANE, *own), "plane", call)
    if first is None or second is None or candidates is None:
        return None
    errors = ctx.errors
    layer = _layer(ctx, first, axes[0] if len(axes) == 2 else call)
    if not isinstance(second, str):
        second = _at_layer(second, _layer(ctx, second, axes[-1]))
    if ctx.errors > errors:
        return None
    rows, kind = chosen.pop("rows", "unit"), chosen.pop("candidates", "layers")
    return PlaneExpr(first, second, candidates, rows, kind, layer, chosen, span=call.span)


def _words() -> list[str]:
    """The second axes that are written as a word."""
    return [word for word, entry in registry.entries("plane").items() if not any(arg.required for arg in entry.args)]


def _is_word(ctx: Context, expr: nodes.Expr) -> bool:
    """Whether an axis is a word of the registry; a name of the recipe goes before it."""
    return isinstance(expr, Name) and expr.text in _words() and expr.text not in ctx.scope.symbols


def _second(ctx: Context, expr: nodes.Expr) -> str | VectorExpr | None:
    if isinstance(expr, Name) and _is_word(ctx, expr):
        return expr.text
    known = (ctx.scope.symbols, ctx.scope.later)
    if not isinstance(expr, Name) or any(expr.parts[0] in names for names in known):
        return vectors.vector(ctx, expr)
    words = _words()
    close = nearest(expr.text, (*words, *named(ctx, ("vector",))))
    help = f"did you mean `{close}`?" if close else f"write {either(words)}, or a vector's name"
    ctx.error("S212", f"there is no second axis `{expr.text}`", expr, help=help)
    return None


def _layer(ctx: Context, vector: VectorExpr, at: nodes.Node) -> LayerChoice | None:
    """The implied choice that makes one direction of an axis; None where it is one already, or
    after a message where it cannot be."""
    if isinstance(vector, VectorRef) and vector.layers is not None:
        if not vectors.is_single(ctx, vector.layers):
            help = f"name one layer, as in `{vector.name}[16]`, or leave the index out to have one chosen"
            ctx.error("S316", "an axis of a plane is one direction", at, "several layers", help=help)
        return None
    info = vectors.info_of(ctx, vector)
    if info.fixed:
        return None
    if info.trained and isinstance(vector, VectorRef):
        return LayerChoice(implied_choice(ctx, vector.name, at))
    help = "give it a name, and name its layer, as in `v[16]`"
    if isinstance(vector, VectorRef):
        help = f"name the layer, as in `{vector.name}[16]`"
    ctx.error("S418", "no layer can be chosen for this vector", at, "it has no training statistics", help=help)
    return None


def _at_layer(vector: VectorExpr, layer: LayerChoice | None) -> VectorExpr:
    if layer is None or not isinstance(vector, VectorRef):
        return vector
    return replace(vector, layers=Layers((layer,)))


def implied_choice(ctx: Context, vector: str, at: nodes.Node) -> str:
    """The name of the selection that chooses one layer of `vector`; made where it is first needed."""
    if vector not in ctx.scope.choices:
        name = ctx.scope.fresh(f"{vector}_layer")
        ctx.scope.choices[vector] = name
        chosen = defaults(registry.find("select", DEFAULT_CRITERION).args)
        ctx.steps.append(Select(name, vector, DEFAULT_CRITERION, 1, options=chosen, implied=True, span=at.span))
    return ctx.scope.choices[vector]
