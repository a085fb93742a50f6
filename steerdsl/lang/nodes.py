"""The syntax tree: what the text says, before names and units are looked at.

In: `build` makes these from Lark's tree. Out: `lower` turns them into a checked `recipe.Recipe`;
`format` prints them back. Every statement is a head and a list of clauses; which clauses a
statement takes is the checker's business, so that a misplaced one gets a specific message.
Spans do not take part in equality: two texts that mean the same have equal trees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from steerdsl.lang.clause_nodes import (
    Amount,
    At,
    Clause,
    During,
    From,
    KeepTop,
    KeepWhen,
    Layers,
    Limit,
    On,
    Over,
    Subject,
    Test,
    When,
    Where,
    Window,
    With,
    Word,
)
from steerdsl.lang.expression_nodes import (
    NOWHERE,
    Binary,
    Call,
    Expr,
    Index,
    Item,
    List,
    Name,
    Negative,
    Node,
    Option,
    Placed,
    Quantity,
    Range,
    Share,
    Text,
)
from steerdsl.lang.source import Span

# ---- statements --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edition(Node):
    number: Quantity


@dataclass(frozen=True, slots=True)
class Use(Node):
    """`use "common/model.steer"` at the top; `use warm` inside a steer."""

    what: Text | Name


@dataclass(frozen=True, slots=True)
class Param(Node):
    name: Name
    value: Expr
    doc: Text | None = None


@dataclass(frozen=True, slots=True)
class Model(Node):
    id: Text
    clauses: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset(Node):
    name: Name
    source: Text | Name | List
    clauses: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Action(Node):
    """A verb that gives a value: extract, select, generate, evaluate, load, orthogonalize.

    `subject` is what is between verb and clauses: the method (`extract diffmean`), the vector
    (`select layers of topic`), the steer (`evaluate forgetful`), the path (`load "x.gguf"`)."""

    verb: str
    subject: Expr | None
    clauses: tuple[Clause, ...] = ()
    verb_span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Value(Node):
    """The right side of a binding that is not a verb: `plane(topic, pc1) from layers 25%..75%`."""

    expr: Expr
    clauses: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Binding(Node):
    name: Name
    value: Action | Value


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """`ablate topic at layers 6`; `operand` is the vector or plane, None when it is implied."""

    verb: str
    operand: Expr | None
    clauses: tuple[Clause, ...] = ()
    verb_span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Steer(Node):
    name: Name
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Axis(Node):
    name: Name
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Sweep(Node):
    axes: tuple[Axis, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Tune(Sweep):
    """`best = tune strength over 0..4 { … }`; without a name it is `best`."""

    name: Name | None = None


@dataclass(frozen=True, slots=True)
class Goal(Node):
    """`maximize keyword_rate.generic subject to … with trials: 60`; `word` is "maximize" or "minimize"."""

    word: str
    what: Expr
    clauses: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Plot(Node):
    what: Expr
    clauses: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Check(Node):
    left: Expr
    op: str
    right: Expr
    clauses: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Export(Node):
    what: Expr
    path: Text


@dataclass(frozen=True, slots=True)
class Bad(Node):
    """A statement that did not parse; its error has been reported."""


Statement: TypeAlias = (
    Edition
    | Use
    | Param
    | Model
    | Dataset
    | Action
    | Binding
    | Operation
    | Steer
    | Sweep
    | Tune
    | Goal
    | Plot
    | Check
    | Export
    | Bad
)


@dataclass(frozen=True, slots=True)
class File(Node):
    statements: tuple[Statement, ...]
