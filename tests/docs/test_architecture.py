"""The order of the rooms in docs/architecture.md is that of the imports, and one package knows nnsight."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import ROOT, blocks

PACKAGE = ROOT / "steerdsl"
CROSSING = {("lang", "data")}  # the page says why
PRINTED = PACKAGE / "eject" / "parts"  # the harness of programs, which is read and never imported


def rooms() -> list[str]:
    (listed,) = (b for b in blocks(ROOT / "docs" / "architecture.md") if b.info == "text rooms")
    return [line.split()[0] for line in listed.text.splitlines()]


def files(room: str) -> list[Path]:
    found = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else sorted((PACKAGE / room).rglob("*.py"))
    return [path for path in found if not path.is_relative_to(PRINTED)]


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that are imported when the program runs, inside functions too."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{name.name}" for name in names)
        yield from imported(child)


def test_every_room_is_listed() -> None:
    there = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert set(rooms()) == there


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_from_those_above_it(room: str) -> None:
    order = rooms()
    for path in files(room):
        for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
            first, _, rest = module.partition(".")
            if first == "steerdsl" and rest:
                other = rest.partition(".")[0]
                above = order.index(other) <= order.index(room)
                assert above or (room, other) in CROSSING, f"{path.name} imports {module}"


def test_one_package_imports_nnsight() -> None:
    known = [
        path.relative_to(PACKAGE).as_posix()
        for room in rooms()
        for path in files(room)
        if any(m.split(".")[0] == "nnsight" for m in imported(ast.parse(path.read_text(encoding="utf-8"))))
    ]
    assert known == ["engine/tracing/ndif.py", "engine/tracing/payload.py", "engine/tracing/session.py"]
