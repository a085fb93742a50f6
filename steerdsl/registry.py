"""The single truth about every word of the language: statements, methods, operations, metrics, data sets.

In: one small file for each entry, found by walking the folders in `ROOMS`.
Out: `Entry` values. The checker, the suggestions, `explain`, the plan and the reference pages all
read them, so a new method is one new file and its test.

An entry's file must stay cheap to import: torch, numpy and scikit-learn are imported inside the
functions that use them, because `check`, `fmt` and `explain` import every entry and no tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "statement", "extract", "select", "plane", "op", "condition", "position", "stream", "metric", "plot", "data"
]

# What an entry reads beyond what all of its kind get. Of methods, criteria and plots: every sample's activation, paired
# rows, further forward passes, captures with directions removed, or a file alone. Of a position: the data set's
# answers. Of an operation: the activations of another prompt. The rest is of metrics.
Need = Literal[
    "rows", "pairs", "model", "recapture", "file", "answers", "prompt",
    "references", "ended", "golds", "choices", "logprobs", "text", "letters", "judge", "harness",
    "kl", "answer", "answer_base", "tail", "marks", "classes",
]  # fmt: skip

# What stands after an operation's verb: a vector, a plane, or nothing. A condition has a vector in brackets or nothing.
OperandKind = Literal["vector", "plane", "nothing"]

# What an operation does, where formats and controls must know it: it adds `by` raw vectors, removes the share `by` of
# a component, or sets a coordinate to `to`.
Effect = Literal["adds", "removes", "sets"]

# What a value in a recipe may be. `strength` is a plain number (multiples of the raw vector) or a
# percentage (a share of each token's norm); `share` is a percentage; `vector` and `plane` are
# names or expressions; `layers` is a list of layers; a `range` has two ends, as in `0..100`.
ArgType = Literal[
    "int",
    "number",
    "share",
    "angle",
    "strength",
    "word",
    "text",
    "flag",
    "vector",
    "plane",
    "layers",
    "data",
    "score",
    "search",
    "range",
]

REQUIRED: Any = object()


class Room(NamedTuple):
    """Where the entries of a kind live, their heading, and the diagnostic of a word that is none of them. A file there
    defines ENTRY, or ENTRIES for a small family."""

    module: str
    title: str
    code: str = ""
    noun: str = ""


ROOMS: Mapping[Kind, Room] = MappingProxyType(
    {
        "statement": Room("steerdsl.lang.vocabulary", "statements"),
        "extract": Room("steerdsl.methods.extract", "methods of extraction", "S206", "extraction method"),
        "select": Room("steerdsl.methods.select", "criteria for layers", "S207", "criterion"),
        "plane": Room("steerdsl.methods.planes", "second axes of a plane"),
        "op": Room("steerdsl.methods.ops", "operations"),
        "condition": Room("steerdsl.methods.conditions", "conditions", "S214", "condition"),
        "position": Room("steerdsl.models.positions", "positions in the prompt", "S210", "position"),
        "stream": Room("steerdsl.models.streams", "streams", "S209", "stream"),
        "metric": Room("steerdsl.measure.metrics", "metrics", "S208", "metric"),
        "plot": Room("steerdsl.show.plots", "plots", "S211", "plot"),
        "data": Room("steerdsl.data.builtin", "built-in data sets"),
    }
)


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument of an entry: its name, its type with unit, its default and what it means.

    `least` and `most` are the bounds of a number (a share as a fraction), both allowed; `below` is one that
    it must not reach. `files`: the endings by which a text names a file of the recipe, "." for any; what else it may
    name is in `known`. `listed`: a list of texts as well. `condition`: the condition, comparison and number that a flag
    of an operation stands for, read along the operation's own direction.
    """

    name: str
    type: ArgType
    default: Any = REQUIRED
    doc: str = ""
    choices: tuple[str, ...] = ()
    many: bool = False  # several may be named, separated by commas
    least: float | None = None
    most: float | None = None
    below: float | None = None
    files: tuple[str, ...] = ()
    known: Callable[[], tuple[str, ...]] = tuple
    listed: bool = False
    condition: tuple[str, Literal["<", "<=", ">", ">="], float] | None = None

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def names_file(self, text: object) -> bool:
        """Whether a value of this argument is the path of a file."""
        if not isinstance(text, str) or text in self.known():
            return False
        return "." in self.files or PurePosixPath(text).suffix.lower() in self.files


@dataclass(frozen=True, slots=True)
class OneOf:
    """Clauses of which an operation needs exactly one. `lacks` and `help` are said where none of them stands there,
    `both` where several do."""

    clauses: tuple[str, ...]
    lacks: str
    help: str
    both: str = ""


class GoldReader(NamedTuple):
    """Which gold answers a metric can find, what it reads in words, and what to do about one that it cannot read."""

    able: Callable[[str], bool]
    reads: str
    instead: Callable[[str], str]


def _no_run(*_: Any, **__: Any) -> Any:
    raise TypeError("this word of the language has nothing to run")


@dataclass(frozen=True, slots=True)
class Entry:
    """A word of the language: a statement, a data set, or something to compute.

    `run` is the implementation; its signature belongs to the kind and is described in the `__init__` of the kind's
    folder; `prepare` makes what an operation's `run` reads. `summary` of a metric says its unit and which way is which,
    as in "higher is better"; `headline` that a summary of a run leads with it, since it says what the answers are and
    not how far they have moved. `needs` lists what else the engine must supply. `version` enters the content hash of a
    result: raise it when the numbers change. `aliases` are what other tools and papers call it: a recipe has one name
    for a thing, and messages know the others.

    Of a statement, `clauses` are the labels that it takes and `gives` is the kind of thing that its name stands for. Of
    an operation, `one_of` are the clauses that it needs, and `compounds` says that what it does at one layer goes on to
    the next. Of a data set, `subject` is what its prompts are about, where its name does not say. Of a metric,
    `reads_gold` gives what it can find in a gold answer; `title` what its figures are called, its own name, `_` and a
    word for what its options name, where one evaluation may have several.
    """

    kind: Kind
    name: str
    summary: str
    run: Callable[..., Any] = _no_run
    args: tuple[Arg, ...] = ()
    headline: bool = False
    formula: str = ""
    when: str = ""  # when to use it and when not, in one or two sentences
    paper: str = ""
    example: str = ""
    needs: frozenset[Need] = frozenset()
    version: int = 1
    aliases: tuple[str, ...] = ()
    rate: bool = False  # of a metric: each prompt's value is 0 or 1, so that the number of prompts decides much
    least: float | None = None  # of a metric: what its values cannot go below
    most: float | None = None  # and above
    prepare: Callable[[Any, Mapping[str, Any]], dict[str, Any]] = _no_run
    operand: OperandKind = "vector"
    one_of: tuple[OneOf, ...] = ()
    effect: Effect | None = None
    compounds: bool = False
    oblique: bool = False  # of a method: an eraser that reads along other directions than it writes
    clauses: tuple[str, ...] = ()
    gives: str = ""
    subject: str = ""
    reads_gold: Callable[[Mapping[str, Any]], GoldReader] | None = None
    title: Callable[[Mapping[str, Any]], str] | None = None

    def arg(self, name: str) -> Arg | None:
        """Return the argument called `name`, or None."""
        return next((a for a in self.args if a.name == name), None)


@cache
def entries(kind: Kind) -> Mapping[str, Entry]:
    """Return every entry of `kind` by name, in alphabetical order.

    Raises ValueError when two files claim one name: a bug in the package, not a user's mistake.
    """
    room = import_module(ROOMS[kind].module)
    modules = [room]
    if hasattr(room, "__path__"):
        modules += [import_module(f"{room.__name__}.{m.name}") for m in iter_modules(room.__path__)]
    found: dict[str, Entry] = {}
    for module in modules:
        single = getattr(module, "ENTRY", None)
        for entry in getattr(module, "ENTRIES", ()) if single is None else (single,):
            if entry.name in found:
                raise ValueError(f"two {kind} entries are called {entry.name}")
            found[entry.name] = entry
    return MappingProxyType(dict(sorted(found.items())))


def find(kind: Kind, name: str) -> Entry:
    """Return the entry of that kind and name; KeyError when there is none (the checker looks first)."""
    return entries(kind)[name]


def metric_of(label: str) -> Entry | None:
    """The metric whose figures are called `label`: its name, with its options in brackets or behind `_`."""
    name, known = label.partition("(")[0].partition(".")[0], entries("metric")
    titled = (entry for entry in known.values() if entry.title is not None and name.startswith(f"{entry.name}_"))
    return known.get(name) or next(titled, None)
