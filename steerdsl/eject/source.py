"""Definitions for an ejected program: this package's own source, without the package.

In: what a program names, as (module, name). Out: `Definition`s of that and of all that it needs, with the
imports from elsewhere. Names are followed through the files' imports, and files are read as text, never
imported. In a file of `parts`, a line that ends in `# if: WORD` stays only where a recipe has that feature.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from steerdsl.eject.literals import WIDTH

PACKAGE = "steerdsl"
PARTS = f"{PACKAGE}.eject.parts"
SETTINGS = f"{PARTS}.settings"
# What a program has in place of a class that knows of recipes, or of every family of models.
INSTEAD = {
    (f"{PACKAGE}.lang.diagnostics", "Diagnostic"): (f"{PARTS}.errors", "Diagnostic"),
    (f"{PACKAGE}.lang.diagnostics", "RecipeError"): (f"{PARTS}.errors", "RecipeError"),
    (f"{PACKAGE}.models.sites", "Architecture"): (f"{PARTS}.sites", "Architecture"),
}
ROOT = Path(__file__).parents[1]
MARK = re.compile(r"  # if: (not )?(\w+)$")
EMPTIED = re.compile(r'\n\n +"""$', re.MULTILINE)  # a docstring that has lost its second part
Key: TypeAlias = tuple[str, str]  # module, name


@dataclass(frozen=True, slots=True)
class Definition:
    """The source of one function, class or constant. `needs`: other definitions. `imports`: (module, name),
    with "" for `import module`. `spans`: where in `source` which of the needs is named, as (start, end, key).
    `bound`: names that it assigns itself."""

    name: str
    source: str
    needs: frozenset[Key] = frozenset()
    imports: frozenset[tuple[str, str]] = frozenset()
    spans: tuple[tuple[int, int, Key], ...] = ()
    bound: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _File:
    lines: list[str]
    nodes: Mapping[str, ast.stmt]
    imports: Mapping[str, Key]


def names(module: str) -> tuple[str, ...]:
    """What a module defines, in its order."""
    return tuple(_read(module).nodes)


def origin(module: str, name: str) -> Key:
    """Where a name of a module is defined: there, or in the module that it is imported from."""
    file = _read(module)
    if name not in file.nodes and name in file.imports:
        return origin(*file.imports[name])
    return INSTEAD.get((module, name), (module, name))


def follow(roots: Iterable[Key], features: Collection[str]) -> dict[Key, Definition]:
    """The definitions of some names and of everything that these need, in the order of a file: what a module
    imports comes before it."""
    found: dict[Key, Definition] = {}
    waiting = {origin(*key) for key in roots}
    while waiting:
        key = waiting.pop()
        found[key] = definition(*key, features)
        waiting |= found[key].needs - found.keys()
    places = {module: number for number, module in enumerate(_ordered({module for module, _ in found}))}
    return {key: found[key] for key in sorted(found, key=lambda k: (places[k[0]], names(k[0]).index(k[1])))}


def definition(module: str, name: str, features: Collection[str] = ()) -> Definition:
    """One definition of a module, with the lines that the features ask for."""
    file = _read(module)
    node = file.nodes[name]
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
    while first and file.lines[first - 1].startswith("#"):
        first -= 1
    assert node.end_lineno is not None
    source, inner = _hoisted("\n".join(_kept(file.lines[first : node.end_lineno], features)))
    source = _unquoted(EMPTIED.sub('"""', source))
    known = {**file.imports, **inner, **{own: (module, own) for own in file.nodes}}
    tree = ast.parse(source)
    bound = _bound(tree.body[0])
    spans, imports = [], set[tuple[str, str]]()
    for start, end, where in _named(source, tree, {k: v for k, v in known.items() if k not in bound}):
        if where[0].partition(".")[0] != PACKAGE:
            imports.add(where)
        elif where[0] != SETTINGS:  # `write` has these for every program
            spans.append((start, end, origin(*where)))
    needs = frozenset(key for _, _, key in spans) - {(module, name)}
    return Definition(name, source, needs, frozenset(imports), tuple(spans), frozenset(bound))


def renamed(definition: Definition, called: Mapping[Key, str], name: str) -> str:
    """The source of a definition in which everything has the name that it has in the program."""
    text = definition.source
    edits = [(start, end, called[key]) for start, end, key in definition.spans]
    head = re.search(rf"^(?:def |class |)({re.escape(definition.name)})\b", text, re.MULTILINE)
    assert head is not None
    edits.append((*head.span(1), name))
    for start, end, new in sorted(set(edits), reverse=True):
        text = text[:start] + new + text[end:]
    return _fitted(text)


def _fitted(text: str) -> str:
    """A function whose head has the line breaks of a formatter, though names have changed and lines have gone."""
    lines = text.split("\n")
    if not lines[0].startswith("def "):
        return text
    last = next(i for i, line in enumerate(lines) if line.endswith(":") and (i == 0 or line.startswith(")")))
    head = (
        " ".join(line.strip() for line in lines[: last + 1]).replace("( ", "(").replace(", )", ")").replace(" )", ")")
    )
    if len(head) <= WIDTH:
        return "\n".join([head, *lines[last + 1 :]])
    if last:
        return text
    first, _, rest = head.partition("(")
    parameters, _, result = rest.rpartition(") -> ")
    return "\n".join([f"{first}(", f"    {parameters}", f") -> {result}", *lines[1:]])


def defined(text: str) -> Iterator[str]:
    """Every name that a program imports or defines for all of its functions, as often as it does."""
    for node in ast.parse(text).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
            case _:
                yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _named(source: str, tree: ast.AST, known: Mapping[str, Key]) -> Iterator[tuple[int, int, Key]]:
    """Where known names are in a source: the name, or `module.name`."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if name in known and _is_module(known[name]):
                where = ".".join(known[name]), attr
            case ast.Name(id=name) if name in known and not _is_module(known[name]):
                where = known[name]
            case _:
                continue
        assert node.end_col_offset is not None
        yield _offset(source, node.lineno, node.col_offset), _offset(source, node.lineno, node.end_col_offset), where


def _is_module(key: Key) -> bool:
    return key[0].partition(".")[0] == PACKAGE and _path(".".join(key)) is not None


def _hoisted(text: str) -> tuple[str, dict[str, Key]]:
    """A definition without the imports inside it, and these."""
    lines = text.split("\n")
    found: dict[str, Key] = {}
    tree = ast.parse(text)
    inside = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in sorted(inside, key=lambda node: -node.lineno):
        found |= _imported(node)
        assert node.end_lineno is not None
        start, stop = node.lineno - 1, node.end_lineno
        while stop < len(lines) and not lines[stop].strip():
            stop += 1
        nested = stop < len(lines) and lines[stop].lstrip().startswith(("def ", "class ", "@"))
        if not nested and not lines[start - 1].strip():
            start -= 1
        lines[start:stop] = []
    return "\n".join(lines), found


def _unquoted(text: str) -> str:
    """A type alias without the quotes that hide names from a file that has not imported them."""
    (node,) = ast.parse(text).body
    match node:
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias"), value=ast.expr() as value):
            pass
        case ast.Assign(value=ast.Subscript(value=ast.Name(id="Callable")) as value):
            pass
        case _:
            return text
    quoted = [n for n in ast.walk(value) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    for part in sorted(quoted, key=lambda n: (-n.lineno, -n.col_offset)):
        start = _offset(text, part.lineno, part.col_offset)
        text = text[:start] + str(part.value) + text[start + len(str(part.value)) + 2 :]
    return text


def _bound(node: ast.stmt) -> set[str]:
    """Names that a function assigns itself."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        return set()
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}


def _offset(text: str, line: int, column: int) -> int:
    """Where in a text a place of its syntax tree is, whose columns count bytes."""
    before = text.split("\n")[: line - 1]
    own = text.split("\n")[line - 1].encode()[:column].decode()
    return sum(len(part) + 1 for part in before) + len(own)


def _kept(lines: list[str], features: Collection[str]) -> list[str]:
    kept = []
    for line in lines:
        found = MARK.search(line)
        if found is None:
            kept.append(line)
        elif (found[2] in features) != bool(found[1]):
            kept.append(line[: found.start()])
    return kept


def _ordered(modules: Collection[str]) -> list[str]:
    """Some modules, each behind those that it imports as it is loaded."""
    done: list[str] = []

    def visit(module: str, seen: frozenset[str]) -> None:
        if module in done or module in seen:
            return
        for other in sorted({m for m, _ in _read(module).imports.values()} & set(modules)):
            visit(other, seen | {module})
        done.append(module)

    for module in sorted(modules):
        visit(module, frozenset())
    return done


@cache
def _read(module: str) -> _File:
    path = _path(module)
    assert path is not None, module
    text = path.read_text("utf-8")
    nodes: dict[str, ast.stmt] = {}
    imports: dict[str, Key] = {}
    for node in _statements(ast.parse(text)):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                nodes[name] = node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                nodes[name] = node
            case ast.Import() | ast.ImportFrom():
                imports |= _imported(node)
    return _File(text.splitlines(), nodes, imports)


def _path(module: str) -> Path | None:
    """The file of a module of this package; None where there is none."""
    stem = ROOT.joinpath(*module.split(".")[1:])
    found = [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]
    return found[0] if found else None


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, those for the type checker included."""
    for node in tree.body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from node.body
        else:
            yield node


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, Key]:
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name.partition(".")[0]: (alias.name, "") for alias in node.names}
    module = node.module or ""
    if module == "__future__":
        return {}
    return {alias.asname or alias.name: (module, alias.name) for alias in node.names}
