"""The syntax tree: what the text says, before names and units are looked at.

In: `build` makes these from Lark's tree. Out: `lower` turns them into a checked `recipe.Recipe`;
`format` prints them back. Every statement is a head and a list of clauses; which clauses a
statement takes is the checker's business, so that a misplaced one gets a specific message.
Spans do not take part in equality: two texts that mean the same have equal trees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

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
    Quantity,
    Range,
    Share,
    Text,
)
from steerdsl.lang.source import Span

# ---- clauses -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class From(Node):
    """`from econ vs generic`, `from econ.held_out`, `from "prompt"`."""

    source: Expr
    against: Expr | None = None


@dataclass(frozen=True, slots=True)
class Layers(Node):
    """`at layers 6,16,22`, `layers all`, `at layer 12` (`singular`), `from layers 25%..75%` (`word` = "from")."""

    items: tuple[Item, ...]
    word: str = "at"
    singular: bool = False


@dataclass(frozen=True, slots=True)
class At(Node):
    """`at last_token`, `at token -2`, `at suffix 5`: a position."""

    position: str
    number: Quantity | None = None


@dataclass(frozen=True, slots=True)
class On(Node):
    """`on attn_out, mlp_out`, `on head(3, 5)`, and the data of `evaluate`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Word(Node):
    """A clause of one word or a fixed phrase: "everywhere", "adaptive", "polar", "keep norm"."""

    word: str


@dataclass(frozen=True, slots=True)
class During(Node):
    phase: str


@dataclass(frozen=True, slots=True)
class Window(Node):
    """`first 8` or `after 8`, in generated tokens."""

    word: str
    count: Expr


@dataclass(frozen=True, slots=True)
class When(Node):
    """`when proj(v) > 0`; a `Layers(singular)` clause right after it says where it is read."""

    left: Expr
    op: str
    right: Expr


@dataclass(frozen=True, slots=True)
class KeepTop(Node):
    count: Expr


@dataclass(frozen=True, slots=True)
class Amount(Node):
    """`by 40%`, `to 90deg`, `toward mean(generic)`, `against u`, `by dispersion`, `to "sweep.png"`."""

    word: str
    value: Expr


@dataclass(frozen=True, slots=True)
class With(Node):
    items: tuple[Option | Expr, ...]


@dataclass(frozen=True, slots=True)
class Test(Node):
    """`label == 1`: a field, a comparison and a value."""

    field: Name | Text
    op: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Where(Node):
    """`where label == 1 and split == "test"`, `positive where label == 1`."""

    tests: tuple[Test, ...]
    side: str = ""


@dataclass(frozen=True, slots=True)
class Over(Node):
    """`over angle`, in `plot`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Limit(Node):
    """`delta_nll.generic < 0.3`, in `subject to`."""

    left: Expr
    op: str
    right: Expr


@dataclass(frozen=True, slots=True)
class Subject(Node):
    """`subject to delta_nll.generic < 0.3, kl.generic < 0.1`."""

    limits: tuple[Limit, ...]


Clause: TypeAlias = (
    From | Layers | At | On | Word | During | Window | When | KeepTop | Amount | With | Over | Where | Subject
)

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
