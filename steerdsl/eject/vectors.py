"""Expressions over vectors, layers and planes, as source.

In: expressions of a checked recipe. Out: Python expressions over the program's variables; what they
call is asked for in the program.
"""

from __future__ import annotations

from collections.abc import Iterator

from steerdsl.eject import literals, source
from steerdsl.eject.program import Program
from steerdsl.lang import recipe as r
from steerdsl.planning import formatting
from steerdsl.planning.layers import choices, resolve_layers


def layers(p: Program, spec: r.Layers) -> str:
    """The layers of a spec, ascending; those that a selection chooses are looked up when it has run."""
    count = p.plan.model.arch.n_layers
    waits = choices(spec)
    fixed = r.Layers(tuple(item for item in spec.items if not isinstance(item, r.LayerChoice)))
    if not waits:
        return literals.numbers(resolve_layers(spec, count, {}))
    if len(waits) == 1 and not fixed.items:
        return f"sorted({p.variable(waits[0])})"
    known = [str(i) for i in resolve_layers(fixed, count, {})] if fixed.items else []
    return f"sorted({{{', '.join([*known, *(f'*{p.variable(name)}' for name in waits)])}}})"


def vector(p: Program, expr: r.VectorExpr) -> str:
    """A vector."""
    match expr:
        case r.VectorRef(name=name, layers=None):
            return p.variable(name)
        case r.VectorRef(name=name, layers=spec) if spec is not None:
            return f"{p.use('span')}({p.variable(name)}, {layers(p, spec)})"
        case r.VectorSum(terms=terms):
            text = " + ".join(f"{c:g}·{formatting.vector(v)}" for c, v in terms)
            inner = ", ".join(f"({literals.literal(c)}, {vector(p, v)})" for c, v in terms)
            return f"{p.use('combine')}([{inner}], {literals.text(text)})"
        case r.Orthogonal(vector=v, against=u):
            text = f"{formatting.vector(v)} against {formatting.vector(u)}"
            return f"{p.use('orthogonalize')}({vector(p, v)}, {vector(p, u)}, {literals.text(text)})"
    raise TypeError(f"not a vector expression: {expr!r}")


def one(p: Program, expr: r.VectorExpr, choice: r.LayerChoice | None) -> str:
    """A single direction, as an axis of a plane needs it."""
    if isinstance(expr, r.VectorRef) and expr.layers is not None and len(expr.layers.items) == 1:
        item = expr.layers.items[0]
        if isinstance(item, r.LayerPoint):
            (layer,) = resolve_layers(expr.layers, p.plan.model.arch.n_layers, {})
            return f"{p.variable(expr.name)}.one({layer})"
    value = vector(p, expr)
    if isinstance(expr, r.VectorRef) and expr.layers is None and choice is not None:
        return f"{value}.one({p.variable(choice.select)}[0])"
    return f"{value}.one({value}.layers[0])"


def plane(p: Program, expr: r.PlaneExpr, target: str, indent: int) -> list[str]:
    """Lines that give a plane's basis to the variable `target`."""
    kind = expr.second if isinstance(expr.second, str) else "vector"
    function = f"plane_{kind}"
    if function not in source.names("planes") or expr.candidates == "samples":
        samples = " with candidates: samples" if expr.candidates == "samples" else ""
        p.refuse(expr.span, f"`plane(…, {kind}){samples}`")
        return []
    items = [one(p, expr.first, expr.first_layer)]
    if not isinstance(expr.second, str):
        items.append(one(p, expr.second, expr.first_layer))
    elif kind == "pc1":
        items.append(_candidates(p, expr))
    items += [f"{name}={literals.literal(value)}" for name, value in expr.options.items()]
    return literals.call(f"{target} = {p.use(function)}(", items, indent=indent)


def _candidates(p: Program, expr: r.PlaneExpr) -> str:
    own = p.variable(expr.first.name) if isinstance(expr.first, r.VectorRef) else vector(p, expr.first)
    among = layers(p, expr.layers) if expr.layers.items else f"{own}.layers"
    raw = "" if expr.rows == "unit" else ", unit=False"
    return f"{p.use('candidates')}({own}, {among}{raw})"


def mentioned(expr: object) -> Iterator[str]:
    """The recipe's names (vectors, planes, choices) that an operand, a condition or layers mention."""
    match expr:
        case r.VectorRef(name=name, layers=spec):
            yield name
            yield from () if spec is None else choices(spec)
        case r.VectorSum(terms=terms):
            for _, v in terms:
                yield from mentioned(v)
        case r.Orthogonal(vector=v, against=u):
            yield from mentioned(v)
            yield from mentioned(u)
        case r.PlaneRef(name=name):
            yield name
        case r.PlaneExpr(first=first, second=second, layers=spec, first_layer=choice):
            yield from mentioned(first)
            yield from mentioned(second)
            yield from choices(spec)
            yield from () if choice is None else [choice.select]
        case r.Layers():
            yield from choices(expr)
        case r.Condition(vector=v):
            yield from mentioned(v)
