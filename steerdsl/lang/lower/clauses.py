"""Which clauses each statement takes, and taking them apart.

In: a statement's clauses. Out: `Clauses`, by label; what does not belong, comes twice or is
missing has been reported. What a statement takes, its registry entry says: an operation's argument
called `by`, `to`, `toward` or `from`, or that is a condition, is a clause, any other is an option after `with`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.phrases import listed
from steerdsl.lang.nodes import Clause

C = TypeVar("C", bound=nodes.Node)

WORDED = ("by", "to", "toward", "from")  # clauses with a value that are an operation's arguments

ACTING = ("at layers", "on", "everywhere", "during", "first", "after", "when", "keep norm")

DEFINITIONS = {"plane": "a plane's definition", "vector": "a vector's definition"}


@dataclass(slots=True)
class Clauses:
    """A statement's clauses by label, in text order."""

    found: dict[str, Clause] = field(default_factory=dict)
    conditions: list[tuple[nodes.When, nodes.Layers | None]] = field(default_factory=list)  # and where it is read

    def one(self, label: str, kind: type[C]) -> C | None:
        """The clause of that label, or None."""
        clause = self.found.get(label)
        return clause if isinstance(clause, kind) else None

    def amount(self, label: str) -> nodes.Expr | None:
        """The value of `by`, `to`, `toward` or `against`."""
        clause = self.one(label, nodes.Amount)
        return clause.value if clause else None

    @property
    def given(self) -> tuple[nodes.Option | nodes.Expr, ...]:
        """What follows `with`."""
        clause = self.one("with", nodes.With)
        return clause.items if clause else ()

    def __contains__(self, label: str) -> bool:
        return label in self.found


def label_of(clause: Clause) -> str:
    """The words that a clause is known by."""
    match clause:
        case nodes.Layers(word="from"):
            return "from layers"
        case nodes.Layers():
            return "at layers"
        case nodes.Word(word=word) | nodes.Window(word=word) | nodes.Amount(word=word):
            return word
        case nodes.KeepTop():
            return "keep top"
        case nodes.KeepWhen(side=side):
            return f"{side} keep when".lstrip()
        case nodes.Where(side=side):
            return f"{side} where".lstrip()
        case nodes.Subject():
            return "subject to"
        case _:
            return type(clause).__name__.lower()


def allowed(statement: str) -> tuple[str, ...]:
    """The labels that a statement, a definition or an operation takes."""
    verb = registry.entries("op").get(statement)
    if verb is None:
        known = registry.entries("statement").get(statement)
        return known.clauses if known else ()
    own = tuple(a.name for a in verb.args if is_clause(a))
    options = ("with",) if any(a.name not in own for a in verb.args) else ()
    return (*own, *options, *ACTING)


def measured(statement: str, label: str) -> bool:
    """Whether a clause of an operation is a strength, which `sd` or `dose` may follow."""
    verb = registry.entries("op").get(statement)
    arg = verb.arg(label) if verb else None
    return arg is not None and arg.type == "strength"


def is_clause(arg: registry.Arg) -> bool:
    """Whether an operation's argument is a clause, and no option after `with`."""
    return arg.name in WORDED or arg.condition is not None


def sort_clauses(ctx: Context, statement: str, clauses: Sequence[Clause]) -> Clauses:
    """Take clauses apart; `statement` is its word."""
    labels = allowed(statement)
    taken = Clauses()
    before: Clause | None = None
    for clause in clauses:
        label = label_of(clause)
        if isinstance(before, nodes.When) and isinstance(clause, nodes.Layers) and clause.singular:
            if taken.conditions:
                taken.conditions[-1] = (before, clause)
        elif label not in labels:
            owner = DEFINITIONS.get(statement, f"`{statement}`")
            help = f"{owner} takes {listed(labels)}" if labels else f"{owner} does not take clauses"
            if label == "to" and isinstance(before, nodes.Layers):
                help = "a range of layers is written with two dots: `at layers 10..20`"
            ctx.error("S401", f"`{label}` does not belong to {owner}", clause, help=help)
        elif isinstance(clause, nodes.When):
            taken.conditions.append((clause, None))
        elif label in taken:
            also = (ctx.place(taken.found[label], "it is already given here"),)
            ctx.error("S402", f"`{label}` is said twice", clause, also=also, help="keep one of the two")
        else:
            taken.found[label] = clause
            if isinstance(clause, nodes.Amount) and clause.measure and not measured(statement, label):
                title = f"`{clause.measure}` says how much `add` adds, and this is no strength"
                ctx.error("S331", title, clause.measure_span, f"`{label}` of `{statement}`", help="leave it out")
        before = clause
    return taken
