"""Expressions over vectors, layers and planes, as source.

In: expressions of a checked recipe. Out: Python expressions over the program's variables; what they
call is asked for in the program.
"""

from __future__ import annotations

from collections.abc import Iterator

from steerdsl.eject import literals
from steerdsl.eject.program import Program
from steerdsl.lang import recipe as r
from steerdsl.planning import formatting
from steerdsl.planning.layers import choices, resolve_layers

SIDES = ("positive", "negative")


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


def vector(p: Program, expr: r.VectorExpr, called: str | None = None) -> str:
    """A vector; a sum or an orthogonal part is called `called`, or by its text."""
    match expr:
        case r.VectorRef(name=name, layers=None):
            return p.variable(name)
        case r.VectorRef(name=name, layers=spec) if spec is not None:
            return f"{p.use('everywhere')}({p.variable(name)}, {layers(p, spec)}, N_LAYERS)"
        case r.VectorSum(terms=terms):
            inner = ", ".join(f"({literals.literal(c)}, {vector(p, v)})" for c, v in terms)
            return f"{p.use('combine')}({literals.text(called or formatting.vector(expr))}, [{inner}])"
        case r.Orthogonal(vector=v, against=u):
            title = literals.text(called or formatting.vector(expr))
            return f"{p.use('orthogonalize')}({title}, {vector(p, v)}, {vector(p, u)})"
    raise TypeError(f"not a vector expression: {expr!r}")


def axis(p: Program, expr: r.VectorExpr, choice: r.LayerChoice | None) -> str:
    """A single direction, as an axis of a plane needs it."""
    if isinstance(expr, r.VectorRef) and expr.layers is not None and len(expr.layers.items) == 1:
        item = expr.layers.items[0]
        if isinstance(item, r.LayerPoint):
            (layer,) = resolve_layers(expr.layers, p.plan.model.arch.n_layers, {})
            return f"{p.use('axis')}({p.variable(expr.name)}, {layer})"
    value = vector(p, expr)
    if isinstance(expr, r.VectorRef) and expr.layers is None and choice is not None:
        return f"{p.use('axis')}({value}, {p.variable(choice.select)}[0])"
    return f"{p.use('axis')}({value}, int({value}.layers[0]))"


def plane(p: Program, expr: r.PlaneExpr, target: str, indent: int) -> list[str]:
    """Lines that give a plane to the variable `target`."""
    kind = expr.second if isinstance(expr.second, str) else "vector"
    items = [axis(p, expr.first, expr.first_layer), _candidates(p, expr)]
    if not isinstance(expr.second, str):
        items.append(f"second={axis(p, expr.second, expr.first_layer)}")
    items += [f"{name}={literals.literal(value)}" for name, value in expr.options.items()]
    return literals.call(f"{target} = {p.entry('plane', kind)}(", items, indent=indent)


def _candidates(p: Program, expr: r.PlaneExpr) -> str:
    """The directions that a plane's second axis is made of."""
    own = p.variable(expr.first.name) if isinstance(expr.first, r.VectorRef) else vector(p, expr.first)
    among = layers(p, expr.layers) if expr.layers.items else f"{own}.layers.tolist()"
    unit = expr.rows == "unit"
    if expr.candidates == "samples":
        base = p.variable(first_name(expr.first))
        sides = [statistics(p, first_name(expr.first), side) for side in SIDES]
        rows = f"{p.use('differences')}({', '.join(sides)}, [{p.use('row')}({base}, layer) for layer in {among}])"
    else:
        rows = f"{p.use('raw_rows')}({own}, {among})"
    return f"{p.use('live')}({rows}, unit={unit})"


def first_name(expr: r.VectorExpr) -> str:
    """The vector whose statistics an expression uses."""
    while not isinstance(expr, r.VectorRef):
        expr = expr.vector if isinstance(expr, r.Orthogonal) else expr.terms[0][1]
    return expr.name


def statistics(p: Program, vector: str, side: str) -> str:
    """The variable that holds the statistics of one class of an extraction."""
    return p.variable(f"statistics {vector} {side}", f"{vector}_{side}")


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
