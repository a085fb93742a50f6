"""The order of the rooms in docs/architecture.md is that of the imports, no modules import each other in a circle,
and one package knows nnsight. Imports inside functions count, and those that only a type checker reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from blocks import ROOT, blocks

PACKAGE = ROOT / "steerdsl"
PRINTED = PACKAGE / "eject" / "parts"  # the harness of programs, which is read and never imported


def rooms() -> list[str]:
    (listed,) = (b for b in blocks(ROOT / "docs" / "architecture.md") if b.info == "text rooms")
    return [line.split()[0] for line in listed.text.splitlines()]


def files(room: str) -> list[Path]:
    found = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else sorted((PACKAGE / room).rglob("*.py"))
    return [path for path in found if not path.is_relative_to(PRINTED)]


def named(tree: ast.AST) -> Iterator[str]:
    """What a file imports, wherever it does, by its full name."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{name.name}" for name in names)


def imported(path: Path) -> list[str]:
    return list(named(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def modules() -> Mapping[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not path.is_relative_to(PRINTED):
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Which modules of `sources` each of them imports. A package is its `__init__`."""
    found: dict[str, set[str]] = {}
    for module, text in sources.items():
        names = set(named(ast.parse(text)))
        names |= {name.rpartition(".")[0] for name in names if name not in sources}
        found[module] = names & sources.keys() - {module}
    return found


def circles(arrows: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Each group of modules that import each other, directly or through others."""
    reached = {module: reach(arrows, module) for module in arrows}
    groups = {tuple(sorted({m for m in found if start in reached[m]})) for start, found in reached.items()}
    return sorted(group for group in groups if group)


def reach(arrows: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        new = arrows[left.pop()] - found
        found |= new
        left += new
    return found


def test_every_room_is_listed() -> None:
    there = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert set(rooms()) == there


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_from_those_above_it(room: str) -> None:
    order = rooms()
    for path in files(room):
        for module in imported(path):
            first, _, rest = module.partition(".")
            if first == "steerdsl" and rest:
                other = rest.partition(".")[0]
                assert order.index(other) <= order.index(room), f"{path.name} imports {module}"


def test_no_modules_import_each_other() -> None:
    texts = {name: path.read_text("utf-8") for name, path in modules().items()}
    assert circles(graph(texts)) == []


def test_a_circle_is_found_wherever_an_import_is() -> None:
    """One at the top, one for the type checker alone, one inside a function; `d` reaches the circle only."""
    texts = {
        "s.a": "import s.b",
        "s.b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from s.c import C",
        "s.c": "def f():\n    from s import a",
        "s.d": "from s.a import x",
    }
    assert circles(graph(texts)) == [("s.a", "s.b", "s.c")]


def test_a_class_name_has_one_meaning() -> None:
    """But for what a recipe says as it is written and as it is meant, and the progress that callers show."""
    written = ("lang.nodes", "lang.clause_nodes", "lang.expression_nodes")
    meant = ("lang.recipe", "lang.recipe_data", "lang.recipe_parts")
    found: dict[str, set[str]] = {}
    for module, path in modules().items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).add(module.removeprefix("steerdsl."))
    pairs = [{one, other} for one in written for other in meant]
    twice = {name: where for name, where in found.items() if len(where) > 1 and where not in pairs}
    assert twice == {"Progress": {"models.cache", "cli.progress"}}


def test_one_package_imports_nnsight() -> None:
    known = [
        path.relative_to(PACKAGE).as_posix()
        for path in modules().values()
        if any(name.split(".")[0] == "nnsight" for name in imported(path))
    ]
    assert known == ["engine/tracing/ndif.py", "engine/tracing/payload.py", "engine/tracing/session.py"]
