"""Expressions in the syntax tree: numbers, names, calls, sums, lists, ranges.

In and out as for `nodes`, which has these names too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from steerdsl.lang.source import Span

NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Quantity(Node):
    """`210deg`, `40%`, `16`, `-2`. `unit` is "" | "%" | "deg" | "rad" | "turn" or what was typed;
    `text` is the number as typed, so that the formatter keeps its spelling."""

    value: float
    unit: str = ""
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A quoted string, unescaped."""

    value: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A dotted name: `topic`, `econ.held_out`, `scores.bleu.econ`, `bf16`."""

    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`topic[16]`, `topic[6,16,22]`, `topic[best]`, `topic[8..22 step 2]`."""

    base: Expr
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Option(Node):
    """`max_tokens: 64`, in `with` and in calls; `scale: 0..100` where an argument takes a range."""

    key: str
    value: Expr | Range
    key_span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`plane(topic, pc1)`, `mean(econ)`, `proj(v)`, `lm_eval("mmlu", limit: 100)`."""

    name: str
    args: tuple[Expr | Option, ...]
    name_span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`warm - 0.5 * formal`; op is "+", "-" or "*"."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Negative(Node):
    """Unary minus on anything but a number."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Share(Node):
    """`50% of baseline`."""

    share: Expr
    whole: Expr


@dataclass(frozen=True, slots=True)
class List(Node):
    """`["(A)", "(B)"]`, a list as an option's value."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Range(Node):
    """`8..22 step 2`, ends included."""

    start: Expr
    stop: Expr
    step: Expr | None = None


@dataclass(frozen=True, slots=True)
class Placed(Node):
    """`suffix 5`, `token -2`: a position with its number, as a value of an axis."""

    name: Name
    number: Quantity


Expr: TypeAlias = Quantity | Text | Name | Index | Call | Binary | Negative | Share | List | Placed
Item: TypeAlias = Expr | Range
