"""What statements define and begin with, read off their form alone.

In: syntax nodes, and the text of statements that did not parse. Out: names and places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from steerdsl.lang import nodes
from steerdsl.lang.grammar import keywords, verbs
from steerdsl.lang.nodes import Name
from steerdsl.lang.source import Source, Span

_WORDS = re.compile(r"\s*(\w+)(?:\s+(\w+)(\s*[=:])?)?")
_FIRST = re.compile(r"\s*(\w+)(?!\w|\s*=)")
_NAMING = ("param", "dataset", "steer")
BEST = "best"  # what a search is called that has no name of its own


def definitions(statements: Sequence[nodes.Statement]) -> Iterator[Name]:
    """Every name that the statements define, in text order, those inside sweeps included."""
    for statement in statements:
        match statement:
            case nodes.Tune(body=body, name=name):
                yield name or Name((BEST,), span=statement.span)
                yield from definitions(body)
            case nodes.Sweep(body=body):
                yield from definitions(body)
            case nodes.Binding(name=name) | nodes.Param(name=name) | nodes.Dataset(name=name) | nodes.Steer(name=name):
                yield name
            case _:
                pass


def head(statement: nodes.Statement) -> tuple[str, Span]:
    """The word that says what a statement is, and its place."""
    match statement:
        case nodes.Operation(verb=verb, verb_span=span) | nodes.Action(verb=verb, verb_span=span):
            return verb, span
        case nodes.Binding(value=nodes.Action(verb=verb, verb_span=span)):
            return verb, span
        case nodes.Binding(name=name):
            return name.text, name.span
        case nodes.Tune(name=name) if name is not None:
            return "tune", name.span
        case nodes.Goal(word=word):
            return word, Span(statement.span.start, statement.span.start + len(word))
        case _:
            word = type(statement).__name__.lower()
            return word, Span(statement.span.start, statement.span.start + len(word))


def first_word(source: Source, bad: nodes.Bad) -> str:
    """The word that a statement which did not parse begins with; none where that is being defined."""
    found = _FIRST.match(source.text, bad.span.start, bad.span.end)
    return found[1] if found else ""


def opening(source: Source, bad: nodes.Bad) -> list[Name]:
    """The names that a statement which did not parse may have been about to define: what follows
    `param`, `dataset` or `steer`, else the words before a `=`."""
    found = _WORDS.match(source.text, bad.span.start, bad.span.end)
    if found is None:
        return []
    groups: tuple[int, ...] = (1, 2) if found[3] else (1,)
    if found[1] in _NAMING:
        groups = (2,)
    elif found[1] in keywords().values() or first_word(source, bad) in verbs():
        groups = ()
    return [Name((found[group],), span=Span(*found.span(group))) for group in groups if found[group]]
