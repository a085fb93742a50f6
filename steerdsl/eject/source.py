"""Definitions for an ejected program, taken out of `parts` and, for kernels, out of the registry.

In: a file of `parts`, or a registry entry, and the features of a recipe. Out: `Definition`s: source,
the names that it needs, and the imports that it needs. Files are read as text, never imported.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from steerdsl.eject.literals import WIDTH

MARK = re.compile(r"  # if: (not )?(\w+)$")
EMPTIED = re.compile(r'\n\n +"""$', re.MULTILINE)  # a docstring that has lost its second part
HEAD = re.compile(r"(def \w+\()\n((?:    .*,\n)+)(\).*:)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Definition:
    """The source of one function, class or constant. `needs`: other definitions, by name.
    `imports`: (module, name), with "" for `import module`."""

    name: str
    source: str
    needs: frozenset[str]
    imports: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _File:
    lines: list[str]
    nodes: Mapping[str, ast.stmt]
    own: frozenset[str]
    foreign: Mapping[str, tuple[str, str]]


def names(file: str) -> tuple[str, ...]:
    """What a file of `parts` defines, in its order."""
    return tuple(_read(file).nodes)


def parameters(file: str, name: str) -> tuple[str, ...]:
    """The parameters of a function of a file of `parts`."""
    node = _read(file).nodes[name]
    assert isinstance(node, ast.FunctionDef)
    return tuple(arg.arg for arg in node.args.args)


def definition(file: str, name: str, features: Collection[str]) -> Definition:
    """One definition of a file of `parts`, with the lines that the features ask for."""
    part = _read(file)
    node = part.nodes[name]
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
    while part.lines[first - 1].startswith("#"):
        first -= 1
    assert node.end_lineno is not None
    source = _tidy("\n".join(_kept(part.lines[first : node.end_lineno], features)))
    used = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
    needs = (used & (part.own | set(part.nodes))) - {name}
    return Definition(name, source, frozenset(needs), frozenset(part.foreign[n] for n in used & set(part.foreign)))


def kernel(run: Callable[..., Any], name: str) -> Definition:
    """The source of a registry entry's function, under the entry's name."""
    source = inspect.getsource(run).rstrip()
    source = re.sub(r"^def \w+\(", f"def {name}(", source)
    return Definition(name, source, frozenset(), frozenset({("torch", "Tensor")}))


def _tidy(text: str) -> str:
    """Close up what lines that were left out have torn open."""
    text = EMPTIED.sub('"""', text)
    head = HEAD.match(text)
    if head is None:
        return text
    parameters = ", ".join(line.strip(" ,") for line in head[2].splitlines())
    line = f"{head[1]}{parameters}{head[3]}"
    return line + text[head.end() :] if len(line) <= WIDTH else text


def _kept(lines: list[str], features: Collection[str]) -> list[str]:
    kept = []
    for line in lines:
        found = MARK.search(line)
        if found is None:
            kept.append(line)
        elif (found[2] in features) != bool(found[1]):
            kept.append(line[: found.start()])
    return kept


@cache
def _read(file: str) -> _File:
    text = (files("steerdsl.eject.parts") / f"{file}.py").read_text("utf-8")
    nodes: dict[str, ast.stmt] = {}
    own: set[str] = set()
    foreign: dict[str, tuple[str, str]] = {}
    for node in ast.parse(text).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                nodes[name] = node
            case ast.Assign(targets=[ast.Name(id=name)]):
                nodes[name] = node
            case ast.ImportFrom(module="steerdsl.eject.parts.settings"):
                pass  # `write` has these for every program
            case ast.ImportFrom(module=str(module)) if module.startswith("steerdsl."):
                own |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                foreign |= {alias.name: (module, alias.name) for alias in node.names}
            case ast.Import():
                foreign |= {alias.name: (alias.name, "") for alias in node.names}
            case _:
                pass
    return _File(text.splitlines(), nodes, frozenset(own), foreign)
