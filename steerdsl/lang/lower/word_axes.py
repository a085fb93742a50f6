"""Axes over words: `sweep method over diffmean, pca_diff and position over last_token, token -2 { … }`.

In: the items of an axis, and what each point of a sweep said and made. Out: the values of the axis; the diagnostics,
each once, those of single points with the values that they are about; the names that stand for something else at
every point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from steerdsl.lang import nodes
from steerdsl.lang.columns import columns
from steerdsl.lang.diagnostics import Diagnostic, Label
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.phrases import listed
from steerdsl.lang.nodes import Expr, Name, Placed, Quantity, Text
from steerdsl.lang.recipe import (
    Evaluate,
    Generate,
    LayerChoice,
    PlaneRef,
    Point,
    Select,
    Step,
    VectorRef,
)
from steerdsl.lang.unparse import value_text
from steerdsl.registry import entries

Place = Mapping[str, Expr | None]  # the values of the axes at one point


WORDS = (Name, Text, Placed, nodes.Call)  # what a value of an axis is that is no number


def is_word(value: Expr | None) -> bool:
    """Whether a value of an axis is no number."""
    return isinstance(value, WORDS)


def axis_word(ctx: Context, item: Expr) -> Expr | None:
    """The word or text that an item of an axis is; the item itself where it is not one, None after a message."""
    value = values.constant(ctx, item)
    match value:
        case Name() | Text() | Placed():
            return value
        case nodes.Binary("-", Name(parts=(word,)), Quantity() as number) if _takes_number(ctx, word):
            negated = Quantity(-number.value, number.unit, span=number.span)
            return Placed(Name((word,), span=item.span), negated, span=item.span)
        case nodes.Call(name=name) if name in entries("stream"):
            return value
        case nodes.Call() | nodes.Index() | nodes.List() | nodes.Share():
            help = "give it a name, and write the name"
            ctx.error("S476", "an axis goes over numbers, words or texts", item, values.sort_of(value), help=help)
            return None
    return value and item


def _takes_number(ctx: Context, word: str) -> bool:
    """Whether a word is a position that a number belongs to, and no name of the recipe."""
    position = entries("position").get(word)
    return position is not None and bool(position.args) and word not in ctx.scope.symbols


def label(value: Expr) -> str:
    """A value of an axis as tables show it."""
    match value:
        case Text(value=text):
            return text
        case Placed() | nodes.Call():
            return value_text(value)
        case _:
            return values.printed(value)


def require_different(ctx: Context, axis: nodes.Axis, found: Sequence[Expr]) -> bool:
    """Whether no word comes twice: two points of one name would be one."""
    first: dict[str, Expr] = {}
    for value in (value for value in found if is_word(value)):
        twin = first.setdefault(label(value), value)
        if twin is not value:
            also = (ctx.place(twin, "it is already given here"),)
            title = f"`{axis.name.text}` has `{label(value)}` twice"
            ctx.error("S475", title, value, also=also, help="keep one of the two")
            return False
    return True


def told(ctx: Context, said: Sequence[tuple[Place, Sequence[Diagnostic]]]) -> Iterator[Diagnostic]:
    """What the points of a sweep said, each once. What not all of them said has the values that it is about."""
    at: dict[Diagnostic, list[Place]] = {}
    for place, found in said:
        for diagnostic in dict.fromkeys(found):
            at.setdefault(diagnostic, []).append(place)
    for diagnostic, places in at.items():
        yield diagnostic if len(places) == len(said) else _placed(ctx, diagnostic, places, [place for place, _ in said])


def _placed(ctx: Context, diagnostic: Diagnostic, places: Sequence[Place], every: Sequence[Place]) -> Diagnostic:
    """A diagnostic with the values that it is about: those without which it was not found, other things equal. Where no
    single value is behind it, it has all of the first point where it was found."""
    first, clean = places[0], [place for place in every if place not in places]
    about = {
        axis: value
        for axis, value in first.items()
        if value is not None and any(_differ(first, other) == {axis} for other in clean)
    }
    about = about or {axis: value for axis, value in first.items() if value is not None}
    said = ", ".join(f"{axis} {label(value)}" for axis, value in about.items())
    labels = tuple(Label(ctx.source, value.span, f"where `{axis}` is this") for axis, value in about.items())
    return replace(diagnostic, labels=(*diagnostic.labels, *labels), notes=(*diagnostic.notes, f"at {said}"))


def _differ(one: Place, other: Place) -> set[str]:
    return {axis for axis, value in one.items() if other[axis] != value}


def require_same_columns(ctx: Context, points: Sequence[Point]) -> None:
    """Report an evaluation whose figures go under other names from point to point: those of other data sets, or of
    metrics that are called otherwise. The points are lines of one table, which has one set of columns."""
    first = _by_name(points[0].steps)
    for point in points[1:]:
        for name, step in _by_name(point.steps).items():
            other = first.get(name)
            if isinstance(step, Evaluate) and isinstance(other, Evaluate) and not _same_columns(ctx, step, other):
                return


def _same_columns(ctx: Context, step: Evaluate, other: Evaluate) -> bool:
    """Whether an evaluation has the same columns at two points; a message where it does not."""
    own, others = ([ref.label for ref in each.data] for each in (step, other))
    help = "name the axis where the data sets are said, as in `on behavior`"
    if own == others:
        own, others = ([called for called, _ in columns(each)] for each in (step, other))
        help = "ask for each of them in one evaluation, side by side, or write an evaluation for each"
        if own == others:
            own, others = ([data for _, data in columns(each)] for each in (step, other))
    if own == others:
        return True
    title = f"`{step.name}` scores {_listed(own)} at one point of the sweep, and {_listed(others)} at another"
    ctx.error("S479", title, step.span, help=help)
    return False


def _listed(found: Sequence[str]) -> str:
    return listed(dict.fromkeys(found)) if found else "nothing"


def varying(points: Sequence[Point]) -> set[str]:
    """The names that stand for something else from point to point: their steps differ, or what these name does."""
    found: set[str] = set()
    others = [_by_name(point.steps) for point in points[1:]]
    for name, step in _by_name(points[0].steps).items():
        if any(other.get(name) != step for other in others) or not found.isdisjoint(_mentions(step)):
            found.add(name)
    return found


def _by_name(steps: Sequence[Step]) -> dict[str, Step]:
    return {step.name: step for step in steps if hasattr(step, "name")}


def _mentions(value: Any) -> set[str]:
    """The names of vectors, planes, choices and steers in a step."""
    match value:
        case VectorRef(name=name) | PlaneRef(name=name):
            return {name} | _inside(value)
        case LayerChoice(select=name):
            return {name}
        case Select(vector=name) | Evaluate(steer=name):
            return {name} | _inside(value)
        case Generate(steer=steer):
            return {steer} if steer else set()
        case tuple() | list():
            return set().union(*map(_mentions, value))
        case Mapping():
            return _mentions(tuple(value.values()))
        case _:
            return _inside(value)


def _inside(value: Any) -> set[str]:
    if not is_dataclass(value) or isinstance(value, type):
        return set()
    return set().union(*(_mentions(getattr(value, f.name)) for f in fields(value)))
