"""The recipes in recipes/good: each is lowered without a word, and together they use all of the language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import render
from steerdsl.lang.lower.clauses import allowed, label_of
from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source

GOOD = Path(__file__).parents[1] / "recipes" / "good"
RECIPES = sorted(path.name for path in GOOD.glob("*.steer"))


def read(path: str) -> Source:
    return Source(path, (GOOD / path).read_text(encoding="utf-8"))


def walk(value: Any) -> Iterator[Any]:
    """Every node of a tree."""
    if isinstance(value, tuple):
        for item in value:
            yield from walk(item)
    elif is_dataclass(value):
        yield value
        for field in fields(value):
            yield from walk(getattr(value, field.name))


def everything() -> list[Any]:
    return [node for path in RECIPES for node in walk(parse(read(path))[0])]


@pytest.mark.parametrize("path", RECIPES)
def test_good_recipe_is_lowered_without_a_word(path: str) -> None:
    recipe, report = check_source(read(path), read=read)
    assert [render(d) for d in report.found] == []
    assert recipe is not None


def test_every_kind_of_node_occurs() -> None:
    found = {type(node) for node in everything()}
    kinds = {c for c in vars(nodes).values() if isinstance(c, type) and issubclass(c, nodes.Node)}
    assert kinds - found == {nodes.Node, nodes.Bad}


def test_every_clause_of_every_statement_occurs() -> None:
    found: set[tuple[str, str]] = set()
    for node in everything():
        match node:
            case nodes.Action(verb=verb, clauses=clauses) | nodes.Operation(verb=verb, clauses=clauses):
                found |= {(verb, label_of(clause)) for clause in clauses}
            case nodes.Value(expr=nodes.Call(), clauses=clauses):
                found |= {("plane", label_of(clause)) for clause in clauses}
            case nodes.Goal(word=word, clauses=clauses):
                found |= {(word, label_of(clause)) for clause in clauses}
            case nodes.Dataset(source=nodes.Name(("answers",)), clauses=clauses):
                found |= {("answers", label_of(clause)) for clause in clauses}
            case nodes.Model() | nodes.Dataset() | nodes.Plot() | nodes.Check():
                found |= {(type(node).__name__.lower(), label_of(clause)) for clause in node.clauses}
    statements = registry.entries("statement").values()
    assert {(entry.name, label) for entry in statements for label in entry.clauses} <= found
    for verb in registry.entries("op"):
        own = {label for label in allowed(verb) if label not in allowed("cap")} | {"by", "to"} & set(allowed(verb))
        assert {(verb, label) for label in own} <= found
    shared = {label for verb, label in found if verb in registry.entries("op")}
    assert set(allowed("cap")) <= shared


@pytest.mark.parametrize("kind", ["extract", "select", "op", "position", "stream", "metric", "plot"])
def test_every_word_of_the_registry_occurs(kind: registry.Kind) -> None:
    words = {word for path in RECIPES for word in read(path).text.replace("(", " ").replace(",", " ").split()}
    assert set(registry.entries(kind)) - words <= {"scores"}
