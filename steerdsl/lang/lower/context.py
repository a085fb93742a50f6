"""What the lowering of one file knows and gathers on its way.

In: the source, the command line's overrides and folders. Out: diagnostics, data sets, steps.
`Shared` belongs to the whole recipe; `Context` to one block of one file (the top, a used file, a
sweep's body at one point), and blocks that nest see the scope around them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import Diagnostic, Label, Severity
from steerdsl.lang.nodes import NOWHERE, Node
from steerdsl.lang.recipe import DataRef, DataSpec, ModelSpec, Split, Step
from steerdsl.lang.source import Source, Span

SymbolKind = Literal[
    "vector", "plane", "choice", "steer", "data", "param", "axis", "answers", "scores", "tune", "classes", "unknown"
]

_COMMENTS = re.compile(r'("(?:\\.|[^"\\\n])*")|#[^\n]*')

Block = Literal["top", "used", "sweep", "tune"]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name and what it stands for. Kind "unknown" is a name whose definition did not parse: it
    may be anything. `value` is what later uses must know: the param's expression, the data set, the
    `VectorInfo`, the steer's operations, the evaluation; None when the definition was bad.
    `axes` are the sweep's axes for a name bound inside a sweep and used after it."""

    name: str
    kind: SymbolKind
    place: Label
    value: Any = None
    axes: Mapping[str, nodes.Expr | None] = field(default_factory=dict)
    imported: bool = False  # from a used file
    varies: bool = False  # at each value of an axis over words it is something else


@dataclass(slots=True)
class Scope:
    """Names in force at one point of the text. `later` are those defined further down, `taken`
    every name of the recipe (an invented name avoids them), `choices` the implied selections made so
    far, by vector; `unbound` the extractions without a name."""

    symbols: dict[str, Symbol] = field(default_factory=dict)
    later: dict[str, Label] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    choices: dict[str, str] = field(default_factory=dict)
    unbound: list[tuple[str, Label]] = field(default_factory=list)

    def fresh(self, base: str) -> str:
        """`base`, or `base_2`, `base_3`, …: the first that nothing in the recipe is called."""
        name, count = base, 1
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name

    def inside(self) -> Scope:
        """A scope for a block: it sees this one, and what it defines stays in it."""
        return replace(
            self,
            symbols=dict(self.symbols),
            later=dict(self.later),
            taken=set(self.taken),
            choices=dict(self.choices),
            unbound=list(self.unbound),
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted on one part of a data set: names, each once, in text order."""

    spec: DataSpec
    split: Split
    by: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class Shared:
    """What every block of a recipe adds to. `readers` read what an option may name and what has options itself, by
    the type of the argument: vectors, planes, layers, data sets."""

    overrides: Mapping[str, str]
    read: Callable[[str], Source] | None
    folders: Sequence[str]
    found: list[Diagnostic] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    reading: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    data: dict[str, DataSpec] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    fits: dict[tuple[Any, ...], dict[tuple[str, ...], Fit]] = field(default_factory=dict)  # by source and part
    fitted: dict[str, DataRef] = field(default_factory=dict)  # each data set that was fitted on, where it was first
    model: tuple[ModelSpec, Label] | None = None
    edition: tuple[int, Label] | None = None
    sweeps: int = 0
    readers: Mapping[str, Callable[[Context, nodes.Expr], Any]] = field(default_factory=dict)
    errors: int = 0  # how many of those found are errors
    outputs: dict[str, Label] = field(default_factory=dict)  # what is written, and the folders that this needs

    def add(self, *found: Diagnostic) -> None:
        """Report what was found, and count the errors: every piece of work asks whether it made one."""
        self.found += found
        self.errors += sum(d.severity == "error" for d in found)


@dataclass(slots=True)
class Context:
    """One block: where its text is, what its names mean, the steps it has given so far."""

    source: Source
    shared: Shared
    scope: Scope = field(default_factory=Scope)
    steps: list[Step] = field(default_factory=list)
    folder: str = ""  # of a used file, relative to the recipe's own
    block: Block = "top"
    begun: bool = False  # there is a statement before the present one
    late: bool = False  # of a used file: there is a step before its `use`
    axes: Mapping[str, nodes.Expr | None] = field(default_factory=dict)
    around: Sequence[Step] = ()  # the steps before this block, of every block and file around it

    def error(
        self,
        code: str,
        title: str,
        at: Node | Span,
        label: str = "",
        *,
        help: str,
        also: Sequence[Label] = (),
        severity: Severity = "error",
    ) -> None:
        """Report a mistake at a node or span; `also` are further places."""
        place = self.place(at, label)
        labels = (place, *also) if place.span != NOWHERE else also
        self.shared.add(Diagnostic(code, title, tuple(labels), (), help, severity))

    def warn(self, code: str, title: str, at: Node | Span, label: str = "", *, help: str) -> None:
        self.error(code, title, at, label, help=help, severity="warning")

    @property
    def errors(self) -> int:
        """How many errors the whole recipe has so far; unchanged across a piece of work that went well."""
        return self.shared.errors

    @property
    def before(self) -> list[Step]:
        """The steps so far that this block may name: those before it, and its own."""
        return [*self.around, *self.steps]

    def place(self, at: Node | Span, label: str = "") -> Label:
        return Label(self.source, at if isinstance(at, Span) else at.span, label)

    def within(self, node: Node, word: str) -> Span:
        """The place of a word inside a node that keeps no span for it."""
        start = self.source.text.find(word, node.span.start, node.span.end)
        return node.span if start < 0 else Span(start, start + len(word))

    def written(self, node: Node) -> str:
        """The statement as written, on one line, without comments."""
        text = self.source.text[node.span.start : node.span.end]
        return " ".join(_COMMENTS.sub(lambda found: found[1] or " ", text).split())
