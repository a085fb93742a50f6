"""The clauses of the syntax tree: `at layers 6, 16`, `by 2`, `when cos(v) > .2`.

In: made by `build`. Out: parts of the statements in `nodes`, from where all can be imported too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from steerdsl.lang.expression_nodes import NOWHERE, Expr, Item, Name, Node, Option, Quantity, Text
from steerdsl.lang.source import Span


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
    """`by 40%`, `by 2 sd`, `to 90deg`, `toward mean(generic)`, `against u`, `by dispersion`, `to "sweep.png"`."""

    word: str
    value: Expr
    measure: str = ""  # "sd" or "dose", behind the value
    measure_span: Span = field(default=NOWHERE, compare=False)


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
    """`delta_nll.generic < 0.3`, in `subject to` and in `keep when`."""

    left: Expr
    op: str
    right: Expr


@dataclass(frozen=True, slots=True)
class KeepWhen(Node):
    """`keep when refusal_rate == 0 and repeated_4grams < 10%`, `positive keep when …`."""

    tests: tuple[Limit, ...]
    side: str = ""


@dataclass(frozen=True, slots=True)
class Subject(Node):
    """`subject to delta_nll.generic < 0.3, kl.generic < 0.1`."""

    limits: tuple[Limit, ...]


Clause: TypeAlias = (
    From
    | Layers
    | At
    | On
    | Word
    | During
    | Window
    | When
    | KeepTop
    | KeepWhen
    | Amount
    | With
    | Over
    | Where
    | Subject
)
