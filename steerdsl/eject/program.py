"""The program while it is written: what it needs so far, and at the end its text.

In: pieces of source, and requests for definitions and features. Out: one file, to be read from the
top: what it is, data, model, prompts, reading, directions, planes, operations, steering, steps.
"""

from __future__ import annotations

import builtins
import keyword
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from steerdsl.eject import literals, source
from steerdsl.eject.source import Definition
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.lang.source import Span
from steerdsl.methods.ops.keep_norm import keep_norm
from steerdsl.planning.plan import Plan
from steerdsl.planning.samples import Sample
from steerdsl.registry import entries

# The sections that hold definitions, in the order of the file, and the files of `parts` for each.
SECTIONS = {
    "The model": ("model",),
    "Prompts": ("chat", "raw", "content", "prompts", "answered", "batching"),
    "Where the streams are": (),
    "Reading activations": ("positions", "reading"),
    "Directions": ("vectors", "algebra", "extract", "select"),
    "Planes": ("planes",),
    "Operations": ("tensors",),
    "Steering": ("steering",),
    "Answers": ("generation", "saving"),
    "The steers": (),
}
# Of two files that define the same names: the first with the feature, the second without it.
EITHER = {"chat": ("chat", "raw"), "answers": ("answered", "prompts")}
# What `steps` names in the program's `main`, and `steers` in a steer's function.
LOCALS = {"parser", "given", "model", "tokenizer", "out", "steers", "answers", "dataset", "split", "rows"}
LOCALS |= {"variant", "point", "edits", "layer", "stream", "unit", "norm", "plane", "tensors", "act", "several"}
LOCALS |= {"when", "torch", "nnsight", "operator", "main"}


@dataclass
class Program:
    """A program in the making.

    features decide between lines of `parts`. roots: the definitions asked for by name. made: those
    written for this recipe, by section. data: the rows that its steps see, by constant. streams:
    those that steers write. indent: that of the steps; point: in a sweep, the variable of its point.
    left: what the program does not do. refused: what no program can be written for.
    """

    plan: Plan
    features: set[str] = field(default_factory=set)
    roots: set[str] = field(default_factory=set)
    made: dict[str, list[Definition]] = field(default_factory=dict)
    imports: set[tuple[str, str]] = field(default_factory=set)
    data: dict[str, tuple[r.DataRef, tuple[Sample, ...]]] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)
    indent: int = 4
    point: tuple[str, ...] = ()
    left: list[str] = field(default_factory=list)
    refused: list[tuple[Span, str]] = field(default_factory=list)
    _variables: dict[str, str] = field(default_factory=dict)

    def use(self, name: str) -> str:
        """Ask for a definition; gives its name back, to be written where it is used."""
        self.roots.add(name)
        return name

    def make(self, section: str, name: str, text: str, *imports: tuple[str, str]) -> str:
        """Add a definition of this recipe's own, once for each name."""
        items = self.made.setdefault(section, [])
        if all(item.name != name for item in items):
            items.append(Definition(name, text, frozenset(), frozenset(imports)))
        return self.use(name)

    def refuse(self, span: Span, what: str) -> None:
        """Note something that no program can be written for."""
        self.refused.append((span, what))

    def leave(self, what: str) -> None:
        """Note something that is left to steerdsl."""
        if what not in self.left:
            self.left.append(what)

    def require_writable(self) -> None:
        """Raise one RecipeError (P721) that names everything refused."""
        if not self.refused:
            return
        labels = tuple(Label(self.plan.source, span, what) for span, what in dict.fromkeys(self.refused))
        title = f"`eject` cannot write {', '.join(dict.fromkeys(what for _, what in self.refused))}"
        help = "take it out, or run the recipe with `steerdsl run`"
        raise RecipeError([Diagnostic("P721", title, labels, help=help)])

    def variable(self, key: str, wanted: str | None = None) -> str:
        """The Python name for a name of the recipe (or another key): `wanted`, by default its own,
        with an underscore where the program uses that otherwise."""
        if key not in self._variables:
            found = wanted or key
            while found in _taken() or found in self._variables.values():
                found += "_"
            self._variables[key] = found
        return self._variables[key]

    def named(self, name: str) -> r.Step | None:
        """The step that makes what the recipe calls `name`; in a sweep, that of the first point."""
        steps = list(self.plan.recipe.steps)
        for step in steps:
            if getattr(step, "name", None) == name:
                return step
            if isinstance(step, r.Sweep):
                steps += step.points[0].steps
        return None

    def text(self, docstring: str, head: str, tail: str) -> str:
        """The whole file. `head` holds the settings and the data, `tail` the recipe's steps."""
        sections = self._sections()
        imports = self.imports | {pair for items in sections.values() for item in items for pair in item.imports}
        parts = [f"{docstring}\n\n{_import_lines(imports)}\n\n{head}"]
        for section, items in sections.items():
            parts.append(heading(section))
            for item in items:
                constant = item.name[0].isupper() and not item.source.startswith(("class ", "@"))
                if constant and parts[-1].startswith("#"):
                    parts[-1] += f"\n\n{item.source}"
                else:
                    parts.append(item.source)
        return "\n\n\n".join([*parts, tail]) + "\n"

    def _sections(self) -> dict[str, list[Definition]]:
        """Everything that is needed, by section, in the order of the file."""
        known = dict(self._known())
        needed: set[str] = set()
        waiting = set(self.roots)
        while waiting:
            name = waiting.pop()
            needed.add(name)
            waiting |= known[name][1].needs - needed
        found: dict[str, list[Definition]] = {section: [] for section in SECTIONS}
        for name, (section, item) in known.items():
            if name in needed:
                found[section].append(item)
        return {section: items for section, items in found.items() if items}

    def _known(self) -> Iterator[tuple[str, tuple[str, Definition]]]:
        """Every definition there is for this recipe's features, by name, in the order of the file."""
        left_out = {pair[feature in self.features] for feature, pair in EITHER.items()}
        own = {item.name for items in self.made.values() for item in items}
        for section, parts in SECTIONS.items():
            if section == "Operations":
                yield from ((item.name, (section, item)) for item in _kernels())
            for part in parts:
                for name in () if part in left_out else source.names(part):
                    if name not in own:
                        yield name, (section, source.definition(part, name, self.features))
            yield from ((item.name, (section, item)) for item in self.made.get(section, ()))


def heading(title: str) -> str:
    """A line that begins a section."""
    return f"# ---- {title} ".ljust(literals.WIDTH, "-")


def _kernels() -> Iterator[Definition]:
    """What operations and conditions do to an activation: the registry's own functions."""
    for entry in (*entries("op").values(), *entries("condition").values()):
        yield source.kernel(entry.run, entry.name)
    yield source.kernel(keep_norm, "keep_norm")


@cache
def _taken() -> frozenset[str]:
    """Names that a variable of the program cannot have."""
    parts = [source.names(part) for group in SECTIONS.values() for part in group]
    words = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *LOCALS, "keep_norm", "partial"}
    return frozenset(words.union(entries("op"), entries("condition"), entries("stream"), *parts))


def _import_lines(imports: set[tuple[str, str]]) -> str:
    """The import statements, sorted, those of the standard library first."""
    groups: tuple[list[str], list[str]] = ([], [])
    for module in sorted(module for module, name in imports if not name):
        _group(groups, module).append(f"import {module}")
    for module in sorted({module for module, name in imports if name}):
        members = sorted(name for found, name in imports if found == module and name)
        line = f"from {module} import {', '.join(members)}"
        fits = len(line) <= literals.WIDTH
        _group(groups, module).extend([line] if fits else literals.call(f"from {module} import (", members))
    return "\n\n".join("\n".join(group) for group in groups if group)


def _group(groups: tuple[list[str], list[str]], module: str) -> list[str]:
    return groups[module.partition(".")[0] not in sys.stdlib_module_names]
