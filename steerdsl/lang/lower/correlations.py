"""`check correlation(emotion, valence[16], joy: 0.9, …) > 0.6`: classes along a direction, and a number for each.

In: the call. Out: a `Figure` whose path is ("correlation()", classes, vector, layer, class, number, class, number, …).
"""

from __future__ import annotations

from collections.abc import Sequence

from steerdsl.lang import nodes
from steerdsl.lang.lower import vectors
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.names import find, named
from steerdsl.lang.lower.options import split_options
from steerdsl.lang.lower.values import number
from steerdsl.lang.nodes import Name
from steerdsl.lang.recipe import Figure, LayerPoint, Term, VectorRef

CORRELATION_PATH = "correlation()"  # no name of a recipe looks like this
LEAST = 3  # numbers of which a correlation can say something
NUMBERS = {"joy": "0.9", "fear": "-0.7", "calm": "0.6"}  # for a suggestion


def correlation(ctx: Context, call: nodes.Call) -> Figure | None:
    """The correlation of the classes' coordinates along one direction with numbers by class; None after a message."""
    given, bare = split_options(call.args)
    help = f"write `{_form(ctx, given, bare)}`"
    if len(bare) != 2 or not isinstance(bare[0], Name):
        title = "`correlation` takes the vectors of classes, one layer of a vector, and a number for each class"
        ctx.error("S364", title, call, help=help)
        return None
    if len(bare[0].parts) > 1:
        title = f"`{bare[0].text}` is one vector, and a correlation is over those of all classes"
        ctx.error("S364", title, bare[0], help=f"write `{bare[0].parts[0]}`")
        return None
    family, along = find(ctx, bare[0], "classes"), vectors.vector(ctx, bare[1])
    point = _layer(along)
    if along is not None and point is None:
        name = along.name if isinstance(along, VectorRef) else "valence"
        one = f"write one layer, as in `{name}[16]` or `{name}[50%]`; give a sum a name first"
        ctx.error("S364", "a correlation is along the direction of one layer", bare[1], help=one)
    numbers: dict[str, float] = {}
    for item in given:
        if isinstance(item.value, nodes.Range):
            ctx.error("S364", f"`{item.key}` has one number, not a range", item.value, help=help)
            continue
        value = number(ctx, item.value, f"`{item.key}`", None, None)
        if item.key in numbers:
            ctx.error("S405", f"`{item.key}` is given twice", item.key_span, help="keep one of the two")
        if value is not None:
            numbers[item.key] = value
    if len(given) < LEAST:
        title = f"a correlation needs at least {LEAST} classes with a number"
        ctx.error("S364", title, call, f"{len(given)} numbers", help=help)
        return None
    if family is None or point is None or len(numbers) < len(given) or not isinstance(along, VectorRef):
        return None
    layer = f"{point.value * 100:g}%" if point.share else f"{point.value:g}"
    pairs = [text for key, value in numbers.items() for text in (key, repr(value))]
    return Figure((Term((CORRELATION_PATH, bare[0].text, along.name, layer, *pairs)),))


def _form(ctx: Context, given: Sequence[nodes.Option], bare: Sequence[nodes.Expr]) -> str:
    """The call in full, with the names and numbers that the recipe has for it."""
    first, along = (bare[place] if place < len(bare) else None for place in (0, 1))
    classes, vectors_here = named(ctx, ("classes",)), named(ctx, ("vector",))
    family = first.parts[0] if isinstance(first, Name) else ""
    if family not in classes:
        family = (classes or ["emotion"])[-1]
    vector = f"{(vectors_here or ['valence'])[-1]}[50%]"
    if isinstance(along, nodes.Index):
        vector = ctx.written(along)
    elif isinstance(along, Name) and (along.text in vectors_here or along.parts[0] in classes):
        vector = f"{along.text}[50%]"
    numbers = {item.key: "1" if isinstance(item.value, nodes.Range) else ctx.written(item.value) for item in given}
    for key, value in NUMBERS.items():
        if len(numbers) < LEAST:
            numbers.setdefault(key, value)
    return f"correlation({', '.join([family, vector, *(f'{key}: {value}' for key, value in numbers.items())])})"


def _layer(along: object) -> LayerPoint | None:
    """The one layer that a vector names."""
    if isinstance(along, VectorRef) and along.layers is not None and len(along.layers.items) == 1:
        item = along.layers.items[0]
        return item if isinstance(item, LayerPoint) else None
    return None
