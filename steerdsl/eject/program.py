"""The program while it is written: what it needs so far, and at the end its text.

In: pieces of source, and requests for definitions and features. Out: one file, to be read from the
top: what it is, data, the values that it computes with, model, prompts, reading, directions, planes,
operations, steering, steps.
"""

from __future__ import annotations

import builtins
import keyword
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from steerdsl.eject import literals, source
from steerdsl.eject.source import PARTS, Definition, Key
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.lang.source import Span
from steerdsl.planning.plan import Plan
from steerdsl.planning.samples import Sample
from steerdsl.registry import Kind, entries, find

STEERS = "The steers"
# The sections that hold definitions, in the order of the file, and the modules that go into each.
SECTIONS = {
    "What is computed": (
        "steerdsl.methods.errors",
        "steerdsl.methods.types",
        "steerdsl.methods.finite",
        "steerdsl.methods.zero",
        "steerdsl.eject.parts.errors",
    ),
    "Where the streams are": ("steerdsl.models.sites", "steerdsl.eject.parts.sites"),
    "The model": ("steerdsl.eject.parts.model",),
    "Prompts": ("steerdsl.models", "steerdsl.eject.parts.prompts"),
    "Inside a forward pass": (
        "steerdsl.engine.edits",
        "steerdsl.engine.moments",
        "steerdsl.engine.tracing",
        "steerdsl.methods.ops.keep_norm",
    ),
    "Directions": (
        "steerdsl.methods.extract",
        "steerdsl.methods.select",
        "steerdsl.methods",
        "steerdsl.forms",
        "steerdsl.store",
    ),
    "Planes": ("steerdsl.methods.planes", "steerdsl.methods.span"),
    "Operations": ("steerdsl.methods.ops", "steerdsl.methods.conditions", "steerdsl.methods.numbers", "steerdsl.lang"),
    "Steering": ("steerdsl.engine.steer_compiler", "steerdsl.eject.parts.steering"),
    "Reading activations": (
        "steerdsl.models.positions",
        "steerdsl.engine.capture",
        "steerdsl.planning",
        "steerdsl.eject.parts.reading",
        "steerdsl.eject.parts.probe",
    ),
    "Answers": ("steerdsl.engine", "steerdsl.eject.parts"),
    STEERS: (),
}
HARNESS = ("model", "prompts", "reading", "steering", "generation", "probe", "saving")
# What a recipe's steps call besides the harness and the registry's own functions, by module.
CALLED = {
    "steerdsl.methods.types": ("Activations", "MethodError", "Operand", "Plane", "Vector"),
    "steerdsl.methods.algebra": ("combine", "orthogonalize"),
    "steerdsl.methods.layers": (
        *("axis", "candidates", "class_mean", "differences", "everywhere", "lengths", "live", "operand", "raw_rows"),
        *("read_direction", "row"),
    ),
    "steerdsl.methods.ops.patch": ("align",),
    "steerdsl.engine.edits": ("Touch", "make_gate", "make_memory_gate", "make_probe"),
    "steerdsl.engine.steer_compiler": ("ablation_touches", "in_order", "touches"),
    "steerdsl.lang.recipe_parts": ("Strength",),
    "steerdsl.models.sites": ("Site",),
    "steerdsl.eject.parts.sites": ("Architecture", "BlockKind"),
    "steerdsl.store.vector_files": ("save_vector",),
}
# What the functions of entries are called where their own names would say too little.
PREFIXES: Mapping[Kind, str] = {"plane": "plane_", "position": "at_"}
# What `steps` names in the program's `main`, and `steers` in a steer's function.
LOCALS = {"parser", "given", "model", "tokenizer", "out", "steers", "answers", "dataset", "split", "rows"}
LOCALS |= {"variant", "point", "edits", "layer", "stream", "plane", "tensors", "several", "gates", "withheld"}
LOCALS |= {"ranking", "directions", "acting", "watch", "tried", "source", "part", "prompts", "recapture", "_point"}
LOCALS |= {"positive", "negative", "q"}


@dataclass
class Program:
    """A program in the making.

    features decide between lines of `parts`. roots: the definitions asked for by name. made: those
    written for this recipe, by section. data: the rows that its steps see, by constant. streams:
    those that steers write. indent: that of the steps; point: in a sweep, the variable of its point.
    left: what the program does not do. refused: what no program can be written for. own: names that it
    imports and defines, as far as these are known.
    """

    plan: Plan
    features: set[str] = field(default_factory=set)
    own: frozenset[str] = frozenset()
    roots: set[Key] = field(default_factory=set)
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
        self.roots.add(known()[name])
        return name

    def entry(self, kind: Kind, name: str) -> str:
        """Ask for the function of an entry; gives the name that it has in the program."""
        return self._own(entry_key(kind, name))

    def prepare(self, op: str) -> str:
        """Ask for what makes the tensors of an operation's kernel; gives the name that it has in the program."""
        return self._own(prepare_key(op))

    def _own(self, key: Key) -> str:
        self.roots.add(key)
        return entry_names()[key]

    def make(self, section: str, name: str, text: str, *imports: tuple[str, str]) -> str:
        """Add a definition of this recipe's own, once for each name."""
        items = self.made.setdefault(section, [])
        if all(item.name != name for item in items):
            items.append(Definition(name, text, imports=frozenset(imports)))
        return name

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
            while found in _taken() or found in self.own or found in self._variables.values():
                found += "_"
            self._variables[key] = found
        return self._variables[key]

    def hidden(self, text: str) -> frozenset[str]:
        """What the finished program imports and defines, where a name of the recipe hides any of it; else none."""
        named = [*self.data, *(item.name for item in self.made.get(STEERS, ()))]
        own = Counter(source.defined(text)) - Counter(named)
        return frozenset(own) if own.keys() & set(self._variables.values()) else frozenset()

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
        parts = [f"{docstring}\n\nfrom __future__ import annotations\n\n{literals.import_lines(imports)}\n\n{head}"]
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
        found: dict[str, list[Definition]] = {section: [] for section in SECTIONS}
        for key, item in printed(self.roots, self.features).items():
            found[section_of(key[0])].append(item)
        for section, own in self.made.items():
            found[section] += own
        return {section: items for section, items in found.items() if items}


def printed(roots: Iterable[Key], features: Collection[str]) -> dict[Key, Definition]:
    """Definitions as a program has them, each under a unique name."""
    needed = source.follow(roots, features)
    names = _names(needed)
    return {
        key: Definition(names[key], source.renamed(item, names, names[key]), imports=item.imports)
        for key, item in needed.items()
    }


def _names(needed: Mapping[Key, Definition]) -> dict[Key, str]:
    """A name for each definition: its entry's, its own, that under which others import it, or, where two have
    one name, its own with its module's."""
    names = {key: name for key, name in entry_names().items() if key in needed}
    imported = {name or module for item in needed.values() for module, name in item.imports}
    taken = {*names.values(), *imported}
    for key, item in needed.items():
        if key in names:
            continue
        users = [other for other in needed.values() if key in other.needs]
        aliases = {other.source[a:b] for other in users for a, b, where in other.spans if where == key}
        hidden = {name for other in users for name in other.bound}
        module = key[0].rpartition(".")[2]
        longer = f"{item.name}_{module.upper() if item.name.isupper() else module}"
        wanted = [item.name, *sorted(alias for alias in aliases if alias.isidentifier()), longer]
        names[key] = next(name for name in wanted if name not in taken and name not in hidden)
        taken.add(names[key])
    return names


def entry_key(kind: Kind, name: str) -> Key:
    """Where the function of an entry is defined."""
    run = find(kind, name).run
    return run.__module__, run.__name__


def prepare_key(op: str) -> Key:
    """Where what makes the tensors of an operation's kernel is defined."""
    return source.origin(find("op", op).run.__module__, "prepare")


@cache
def entry_names() -> Mapping[Key, str]:
    """What the functions of entries are called in a program."""
    kinds: tuple[Kind, ...] = ("extract", "select", "plane", "op", "condition", "position")
    found = {entry_key(kind, name): f"{PREFIXES.get(kind, '')}{name}" for kind in kinds for name in entries(kind)}
    prepares = {prepare_key(name) for name in entries("op")}
    return found | {key: f"{key[0].rpartition('.')[2]}_tensors" for key in prepares}


def section_of(module: str) -> str:
    """The section whose list has the longest part of a module's name."""
    fits = [
        (len(part), title) for title, group in SECTIONS.items() for part in group if f"{module}.".startswith(f"{part}.")
    ]
    return max(fits)[1]


def heading(title: str) -> str:
    """A line that begins a section."""
    return f"# ---- {title} ".ljust(literals.WIDTH, "-")


@cache
def known() -> Mapping[str, Key]:
    """What can be asked for by name."""
    found = {name: (module, name) for module, group in CALLED.items() for name in group}
    return found | {name: (f"{PARTS}.{part}", name) for part in HARNESS for name in source.names(f"{PARTS}.{part}")}


@cache
def _taken() -> frozenset[str]:
    """Names that a variable of no program can have."""
    words = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *LOCALS}
    return frozenset(words.union(known(), entry_names().values()))
