"""The single truth about every method, metric and operation of the language.

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
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, Literal

Kind = Literal["extract", "select", "plane", "op", "condition", "position", "stream", "metric", "plot"]

# What a value in a recipe may be. `strength` is a plain number (multiples of the raw vector) or a
# percentage (a share of each token's norm); `share` is a percentage; `vector` and `plane` are
# names or expressions; `layers` is a list of layers.
ArgType = Literal[
    "int", "number", "share", "angle", "strength", "word", "text", "flag", "vector", "plane", "layers", "data"
]

REQUIRED: Any = object()

# Where the entries of each kind live. A file there defines ENTRY, or ENTRIES for a small family.
ROOMS: Mapping[Kind, str] = MappingProxyType(
    {
        "extract": "steerdsl.methods.extract",
        "select": "steerdsl.methods.select",
        "plane": "steerdsl.methods.planes",
        "op": "steerdsl.methods.ops",
        "condition": "steerdsl.methods.conditions",
        "position": "steerdsl.models.positions",
        "stream": "steerdsl.models.streams",
        "metric": "steerdsl.measure.metrics",
        "plot": "steerdsl.show.plots",
    }
)


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument of an entry: its name, its type with unit, its default and what it means.

    `least` and `most` are the bounds of a number (a share as a fraction), both allowed; `below` is one that
    it must not reach. `file`: a text that may name a file of the recipe; `listed`: a list of texts as well.
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
    file: bool = False
    listed: bool = False

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Entry:
    """A word of the language that names something to compute.

    `run` is the implementation; its signature belongs to the kind and is described in the
    `__init__` of the kind's folder. `summary` of a metric says its unit and which way is which, as in
    "higher is better"; `headline` that a summary of a run leads with it, since it says what the answers
    are and not how far they have moved. `needs` lists what the engine must supply beyond the class
    means ("rows": every sample's activation; "pairs": paired rows; "model": further forward
    passes). `version` enters the content hash of a result: raise it when the numbers change. `aliases`
    are what other tools and papers call it: a recipe has one name for a thing, and messages know the others.
    """

    kind: Kind
    name: str
    summary: str
    run: Callable[..., Any]
    args: tuple[Arg, ...] = ()
    headline: bool = False
    formula: str = ""
    when: str = ""  # when to use it and when not, in one or two sentences
    paper: str = ""
    example: str = ""
    needs: frozenset[str] = frozenset()
    version: int = 1
    aliases: tuple[str, ...] = ()
    rate: bool = False  # of a metric: each prompt's value is 0 or 1, so that the number of prompts decides much

    def arg(self, name: str) -> Arg | None:
        """Return the argument called `name`, or None."""
        return next((a for a in self.args if a.name == name), None)


@cache
def entries(kind: Kind) -> Mapping[str, Entry]:
    """Return every entry of `kind` by name, in alphabetical order.

    Raises ValueError when two files claim one name: a bug in the package, not a user's mistake.
    """
    room = import_module(ROOMS[kind])
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
