"""`select layers of topic by dispersion keep top 3 from layers 25%..75%`.

In: the statement. Out: a `Select`. A vector without training statistics has nothing to choose by.
"""

from __future__ import annotations

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.lower import layers as layer_lists
from steerdsl.lang.lower import values, vectors
from steerdsl.lang.lower.clauses import sort_clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.options import options
from steerdsl.lang.lower.words import entry_of
from steerdsl.lang.recipe import Layers, Select, VectorRef

DEFAULT_CRITERION = "dispersion"


def lower_select(ctx: Context, node: nodes.Action, name: str) -> Select | None:
    clauses = sort_clauses(ctx, "select", node.clauses)
    vector = _vector(ctx, node)
    by = clauses.amount("by")
    criterion = entry_of(ctx, "select", by) if by else registry.find("select", DEFAULT_CRITERION)
    top = clauses.one("keep top", nodes.KeepTop)
    keep = values.whole(ctx, top.count, "`keep top`", 1) if top else 1
    from_layers = clauses.one("from layers", nodes.Layers)
    candidates = layer_lists.layers(ctx, from_layers.items, from_layers) if from_layers else Layers()
    if criterion is None:
        return None
    chosen = options(ctx, clauses.given, criterion.args, criterion.name, node.verb_span)
    if vector is None or keep is None or candidates is None:
        return None
    return Select(name, vector, criterion.name, keep, candidates, chosen, span=node.span)


def _vector(ctx: Context, node: nodes.Action) -> str | None:
    if node.subject is None:
        return None
    vector = vectors.vector(ctx, node.subject)
    if vector is None:
        return None
    if not isinstance(vector, VectorRef) or vector.layers is not None:
        help = "write the vector's name alone"
        ctx.error("S418", "no layer can be chosen for this vector", node.subject, "not each layer's own", help=help)
        return None
    info = vectors.info_of(ctx, vector)
    if info.fixed or not info.trained:
        label = "one direction for every layer" if info.fixed else "it has no training statistics"
        help = "choose layers of a vector that this recipe extracts from data"
        ctx.error("S418", "no layer can be chosen for this vector", node.subject, label, help=help)
        return None
    return vector.name
