"""`extract diffmean from econ vs generic at last_token on resid_mid with k: 3`.

In: the statement. Out: an `Extract` and what later statements may know of its vector.
"""

from __future__ import annotations

from dataclasses import replace
from inspect import signature

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.grammar import SIDES
from steerdsl.lang.lower import class_vectors, data, values, word_axes
from steerdsl.lang.lower.clauses import Clauses, sort_clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.options import options
from steerdsl.lang.lower.phrases import either
from steerdsl.lang.lower.streams import stream
from steerdsl.lang.lower.vectors import VectorInfo
from steerdsl.lang.lower.words import entry, entry_of
from steerdsl.lang.recipe import ClassAxes, Classes, DataRef, Extract, Position, Stream
from steerdsl.registry import Entry

Sides = tuple[DataRef | None, DataRef | None]


def lower_extract(
    ctx: Context, node: nodes.Action, name: str, implied: bool = False
) -> Extract | Classes | ClassAxes | None:
    clauses = sort_clauses(ctx, "extract", node.clauses)
    source = clauses.one("from", nodes.From)
    whole = class_vectors.of(source.source, class_vectors.CLASSES) if source else None
    of_classes = class_vectors.symbol_of(ctx, source.source) if source else None
    if source is not None and (whole is not None or of_classes is not None):
        return _several(ctx, node, name, clauses, source)
    if "by" in clauses:
        help = "write `from classes of emotions by label`, or leave it out"
        ctx.error("S401", "`by` does not belong to an extraction from two classes", clauses.found["by"], help=help)
    method = _method(ctx, node)
    if method is None and isinstance(node.subject, nodes.Call):
        return None
    sides = _sides(ctx, node, clauses.one("from", nodes.From), method)
    place = clauses.one("at", nodes.At)
    position = Position("last_token") if place is None else at_position(ctx, place)
    where = _stream(ctx, clauses)
    if method is None:
        return None
    chosen = options(ctx, clauses.given, method.args, method.name, node.verb_span)
    if sides is None or position is None or where is None:
        return None
    for side in dict.fromkeys(side for side in sides if side):
        data.fit(ctx, side, name)
    return Extract(name, method.name, *sides, position, where, chosen, implied, span=node.span)


def _several(
    ctx: Context, node: nodes.Action, name: str, clauses: Clauses, source: nodes.From
) -> Classes | ClassAxes | None:
    """An extraction from several classes, or from their vectors."""
    if source.against is not None or not name:
        title = "several classes are compared with each other" if name else "the vectors of classes need a name"
        help = "leave out `vs`" if name else "write `emotion = extract …`; each class is then `emotion.NAME`"
        ctx.error("S361", title, source, help=help)
        return None
    symbol = class_vectors.symbol_of(ctx, source.source)
    if symbol is not None:
        return class_vectors.lower_axes(ctx, name, symbol, clauses, node)
    whole = class_vectors.of(source.source, class_vectors.CLASSES)
    assert whole is not None
    place = clauses.one("at", nodes.At)
    position = Position("last_token") if place is None else at_position(ctx, place)
    where = _stream(ctx, clauses)
    if clauses.given:
        ctx.error("S404", f"`{class_vectors.METHOD}` has no options", clauses.found["with"], help="leave out `with`")
        return None
    if position is None or where is None:
        return None
    return class_vectors.lower_classes(ctx, name, whole, clauses, node, (position, where))


def info_of(step: Extract) -> VectorInfo:
    """What is known of an extracted vector."""
    if step.positive is None or step.negative is None:
        return VectorInfo(unread=f"`{step.name}` was made without any ({step.method})")
    return VectorInfo(trained=True, means=(_spelled(step.positive), _spelled(step.negative)))


def _spelled(ref: DataRef) -> str:
    return f"{ref.name}.{ref.side}" if ref.side else ref.name


def _method(ctx: Context, node: nodes.Action) -> Entry | None:
    if isinstance(node.subject, nodes.Call):
        sides = [arg.text for arg in node.subject.args if isinstance(arg, nodes.Name)]
        way_out = f"from {' vs '.join(sides)}" if len(sides) == 2 else "… with k: 3"
        ctx.error(
            "S314", "a method is written without brackets", node.subject, help=f"write `{node.subject.name} {way_out}`"
        )
        return None
    return entry_of(ctx, "extract", node.subject) if node.subject else None


def _takes_data(method: Entry) -> bool:
    return "positive" in signature(method.run).parameters


def _sides(ctx: Context, node: nodes.Action, clause: nodes.From | None, method: Entry | None) -> Sides | None:
    if method and not _takes_data(method):
        if clause:
            ctx.error("S417", f"`{method.name}` does not use data", clause, help="leave out `from`")
            return None
        return None, None
    if clause is None:
        help = "write `from econ vs generic`: with the concept first, then without it"
        ctx.error("S403", "`extract` needs data", node.verb_span, help=help)
        return None
    positive = data.reference(ctx, clause.source, "fit")
    negative = data.reference(ctx, clause.against, "fit") if clause.against else positive
    if positive is None or negative is None:
        return None
    if clause.against is None:
        return _pairs(ctx, clause, positive, method)
    return _classes(ctx, clause, positive, negative, method)


def _pairs(ctx: Context, clause: nodes.From, ref: DataRef, method: Entry | None) -> Sides | None:
    """Both sides of one data set of pairs."""
    if not ctx.shared.data[ref.name].two_sided:
        help = f"write `from {ref.name} vs generic`, or declare `{ref.name}` with `positive:` and `negative:`"
        ctx.error("S417", "an extraction compares two sides", clause, f"`{ref.name}` is one side", help=help)
        return None
    if ref.side:
        other = "negative" if ref.side == "positive" else "positive"
        help = f"write `from {ref.name}`, or add `vs {ref.name}.{other}`"
        ctx.error("S417", "an extraction compares two sides", clause, "one side", help=help)
        return None
    if method and "pairs" in method.needs and ctx.shared.data[ref.name].sides:
        _warn_no_pairs(ctx, clause, f"`{method.name}` compares pairs, and the sides of `{ref.name}` are different rows")
    sides = [replace(ref, side=side) for side in SIDES]
    return sides[0], sides[1]


def _classes(
    ctx: Context, clause: nodes.From, positive: DataRef, negative: DataRef, method: Entry | None
) -> Sides | None:
    if (positive.name, positive.side, positive.split) == (negative.name, negative.side, negative.split):
        help = "after `vs`, name the data set without the concept"
        ctx.error("S417", "both sides of this extraction are the same", clause, help=help)
        return None
    for ref in (positive, negative):
        if ref.side is None and ctx.shared.data[ref.name].two_sided:
            help = f"write `{ref.name}.positive` or `{ref.name}.negative`, or `from {ref.name}` alone for both"
            ctx.error("S417", f"`{ref.name}` has two sides", ref.span, help=help)
            return None
    if method and "pairs" in method.needs and positive.name != negative.name:
        title = f"`{method.name}` compares pairs, and `{positive.name}` and `{negative.name}` are two data sets"
        _warn_no_pairs(ctx, clause, title)
    return positive, negative


def _warn_no_pairs(ctx: Context, clause: nodes.From, title: str) -> None:
    help = "use a data set with `positive:` and `negative:` fields, or a method such as `diffmean`"
    ctx.warn("S453", title, clause, "row by row these have nothing in common", help=help)


def at_position(ctx: Context, clause: nodes.At) -> Position | None:
    """The position that an `at` names; None after a message."""
    meant = _position_put_in(ctx, clause)
    found = entry(ctx, "position", meant.position, ctx.within(clause, clause.position)) if meant else None
    if meant is None or found is None:
        return None
    clause = meant
    if clause.number is None and any(arg.required for arg in found.args):
        help = f"write `{clause.position} -1`: {found.args[0].doc}"
        ctx.error("S406", f"`{clause.position}` needs a number", ctx.within(clause, clause.position), help=help)
        return None
    if clause.number is not None and not found.args:
        ctx.error(
            "S314", f"`{clause.position}` does not take a number", clause.number, help=f"write `{clause.position}`"
        )
        return None
    if clause.number is None:
        return Position(clause.position)
    bounds = found.args[0]
    number = values.whole(ctx, clause.number, f"`{clause.position}`", bounds.least, bounds.most)
    return None if number is None else Position(clause.position, number)


def _position_put_in(ctx: Context, clause: nodes.At) -> nodes.At | None:
    """The clause with the position that a param or an axis names; the language's own words go before numbers and
    params. None where its value was bad."""
    symbol = ctx.scope.symbols.get(clause.position)
    if symbol is None or symbol.kind not in ("param", "axis"):
        return clause
    value, own = symbol.value, clause.position in registry.entries("position")
    if own and (symbol.kind == "param" or isinstance(value, nodes.Quantity)):
        return clause
    ctx.scope.used.add(symbol.name)
    match value:
        case None:
            return None
        case nodes.Placed(name, number) if clause.number is None:
            return replace(clause, position=name.text, number=number)
        case nodes.Name():
            return replace(clause, position=value.text)
        case _:
            at, given = ctx.within(clause, clause.position), f"`{symbol.name}` is {word_axes.label(value)}"
            help = f"write {either(registry.entries('position'))}"
            ctx.error("S302", "a position is wanted here", at, given, help=help)
            return None


def _stream(ctx: Context, clauses: Clauses) -> Stream | None:
    clause = clauses.one("on", nodes.On)
    if clause is None:
        return Stream("resid_post")
    if len(clause.items) > 1:
        help = "write two extractions, one for each stream"
        ctx.error("S314", "a vector is extracted on one stream", clause, f"{len(clause.items)} streams", help=help)
        return None
    return stream(ctx, clause.items[0])
