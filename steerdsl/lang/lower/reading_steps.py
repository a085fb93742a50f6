"""`read topic[16] on cities at last_token`: where prompts lie along a direction.

In: the statement. Out: a `Read`. Parts of data sets that are not named stay open until the end of the recipe.
"""

from __future__ import annotations

from steerdsl.lang import nodes
from steerdsl.lang.lower import data, vectors
from steerdsl.lang.lower.clauses import sort_clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.extraction import at_position
from steerdsl.lang.recipe import DataRef, LayerChoice, LayerPoint, Read, VectorRef


def lower_read(ctx: Context, node: nodes.Action, name: str) -> Read | None:
    errors = ctx.errors
    clauses = sort_clauses(ctx, "read", node.clauses)
    assert node.subject is not None
    vector = vectors.vector(ctx, node.subject)
    if vector is not None and not _one_layer(ctx, vector):
        help = "write one layer, as in `topic[16]` or `topic[50%]`; give a sum a name first"
        ctx.error("S445", "a reading is along the direction of one layer", node.subject, help=help)
    place = clauses.one("at", nodes.At)
    position = None if place is None else at_position(ctx, place)
    refs = _seen(ctx, node, clauses.one("on", nodes.On))
    if ctx.errors > errors or not isinstance(vector, VectorRef):
        return None
    return Read(name, vector, refs, position, span=node.span)


def _one_layer(ctx: Context, vector: object) -> bool:
    """Whether this is one direction of a named vector."""
    if not isinstance(vector, VectorRef) or vector.layers is None:
        return False
    match vector.layers.items:
        case (LayerPoint(),):
            return True
        case (LayerChoice(select=select),):
            symbol = ctx.scope.symbols.get(select)
            return symbol is None or symbol.value in (None, 1)
    return False


def _seen(ctx: Context, node: nodes.Action, on: nodes.On | None) -> tuple[DataRef, ...]:
    if on is None:
        help = "write `on econ.held_out`; of a data set with two sides both are told apart"
        ctx.error("S403", "`read` needs data", node.verb_span, help=help)
        return ()
    refs = tuple(ref for item in on.items if (ref := data.reference(ctx, item, "see")))
    for place, ref in enumerate(refs):
        if any(ref.name == other.name for other in refs[:place]):
            ctx.error("S405", f"`{ref.name}` is read twice", ref.span, help="write a second `read` for the other part")
    return refs
