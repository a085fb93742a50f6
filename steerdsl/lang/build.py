"""From Lark's tree to syntax nodes, with exact spans.

In: the tree of a file or of one statement. Out: nodes. What the grammar cannot say (escapes in a
string, a number too large, a dotted name where a plain one is needed) is reported here.
"""

from __future__ import annotations

import math
import re
from typing import Any

from lark import Token, Transformer, Tree, v_args
from lark.tree import Meta

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import Report
from steerdsl.lang.grammar import SIDE
from steerdsl.lang.source import Span
from steerdsl.lang.wording import path_help, windows_path

ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def build(tree: Tree[Token], report: Report) -> Any:
    """Return the node of `tree`: a `nodes.File` or a statement."""
    return Builder(report).transform(tree)


def token_span(token: Token) -> Span:
    start = token.start_pos or 0
    return Span(start, start + len(token))


def _span(meta: Meta) -> Span:
    return Span(0, 0) if meta.empty else Span(meta.start_pos, meta.end_pos)


@v_args(meta=True)
class Builder(Transformer[Token, Any]):
    """One method a rule of the grammar, named after it; children come transformed."""

    def __init__(self, report: Report) -> None:
        super().__init__(visit_tokens=True)
        self.report = report

    # ---- tokens ----

    def STRING(self, token: Token) -> nodes.Text:
        span = token_span(token)
        if "\\" in token and windows_path(token[1:-1]):
            self.report.add("S145", "a path is written with `/`", span, help=path_help(token[1:-1]))
            return nodes.Text(token[1:-1].rpartition("\\")[2], span=span)

        def unescape(match: re.Match[str]) -> str:
            letter = match[1]
            if letter not in ESCAPES:
                at = span.start + 1 + match.start()
                self.report.add(
                    "S114",
                    f"`\\{letter}` is not an escape",
                    Span(at, at + 2),
                    help='a string can contain `\\"`, `\\\\`, `\\n` and `\\t`; write `\\\\` for a backslash',
                )
            return ESCAPES.get(letter, letter)

        return nodes.Text(re.sub(r"\\(.)", unescape, token[1:-1]), span=span)

    def QUANTITY(self, token: Token) -> nodes.Quantity:
        match = NUMBER.match(token)
        number = match[0] if match else "0"
        span = token_span(token)
        if math.isinf(float(number)):
            self.report.add("S120", f"the number `{number}` is too large", span, help="write it below 1e308")
        return nodes.Quantity(float(number), str(token[len(number) :]), number, span=span)

    def NAME(self, token: Token) -> nodes.Name:
        return nodes.Name(tuple(token.split(".")), span=token_span(token))

    def _plain(self, name: nodes.Name, what: str) -> nodes.Name:
        if len(name.parts) > 1:
            joined = "_".join(name.parts)
            self.report.add("S119", f"the name of a {what} has no dots", name.span, help=f"write `{joined}`")
        return name

    # ---- file and statements ----

    def file(self, meta: Meta, children: list[nodes.Statement]) -> nodes.File:
        return nodes.File(tuple(children), span=_span(meta))

    def edition(self, meta: Meta, children: list[Any]) -> nodes.Edition:
        return nodes.Edition(children[0], span=_span(meta))

    def use(self, meta: Meta, children: list[Any]) -> nodes.Use:
        return nodes.Use(children[0], span=_span(meta))

    def param(self, meta: Meta, children: list[Any]) -> nodes.Param:
        name, value, *doc = children
        return nodes.Param(self._plain(name, "param"), value, doc[0] if doc else None, span=_span(meta))

    def model(self, meta: Meta, children: list[Any]) -> nodes.Model:
        return nodes.Model(children[0], tuple(children[1:]), span=_span(meta))

    def dataset(self, meta: Meta, children: list[Any]) -> nodes.Dataset:
        name, source, *clauses = children
        return nodes.Dataset(self._plain(name, "data set"), source, tuple(clauses), span=_span(meta))

    def binding(self, meta: Meta, children: list[Any]) -> nodes.Binding:
        return nodes.Binding(self._plain(children[0], "binding"), children[1], span=_span(meta))

    def value(self, meta: Meta, children: list[Any]) -> nodes.Value:
        return nodes.Value(children[0], tuple(children[1:]), span=_span(meta))

    def action(self, meta: Meta, children: list[Any]) -> nodes.Action:
        verb, subject, clauses = _verb(children)
        return nodes.Action(str(verb), subject, clauses, span=_span(meta), verb_span=token_span(verb))

    def operation(self, meta: Meta, children: list[Any]) -> nodes.Operation:
        verb, operand, clauses = _verb(children)
        return nodes.Operation(str(verb), operand, clauses, span=_span(meta), verb_span=token_span(verb))

    def steer(self, meta: Meta, children: list[Any]) -> nodes.Steer:
        return nodes.Steer(self._plain(children[0], "steer"), tuple(children[1:]), span=_span(meta))

    def sweep(self, meta: Meta, children: list[Any]) -> nodes.Sweep:
        axes = tuple(c for c in children if isinstance(c, nodes.Axis))
        return nodes.Sweep(axes, tuple(children[len(axes) :]), span=_span(meta))

    def tune(self, meta: Meta, children: list[Any]) -> nodes.Tune:
        name = None if isinstance(children[0], Token) else self._plain(children[0], "search")
        rest = children[1:] if name is None else children[2:]
        axes = tuple(c for c in rest if isinstance(c, nodes.Axis))
        return nodes.Tune(axes, tuple(rest[len(axes) :]), name, span=_span(meta))

    def goal(self, meta: Meta, children: list[Any]) -> nodes.Goal:
        return nodes.Goal(str(children[0]), children[1], tuple(children[2:]), span=_span(meta))

    def limit(self, meta: Meta, children: list[Any]) -> nodes.Limit:
        return nodes.Limit(children[0], str(children[1]), children[2], span=_span(meta))

    def subject(self, meta: Meta, children: list[Any]) -> nodes.Subject:
        return nodes.Subject(tuple(children[1:]), span=_span(meta))

    def axis(self, meta: Meta, children: list[Any]) -> nodes.Axis:
        return nodes.Axis(self._plain(children[0], "axis"), tuple(children[1:]), span=_span(meta))

    def placed(self, meta: Meta, children: list[Any]) -> nodes.Placed:
        return nodes.Placed(children[0], children[1], span=_span(meta))

    def plot(self, meta: Meta, children: list[Any]) -> nodes.Plot:
        return nodes.Plot(children[0], tuple(children[1:]), span=_span(meta))

    def check(self, meta: Meta, children: list[Any]) -> nodes.Check:
        return nodes.Check(children[0], str(children[1]), children[2], tuple(children[3:]), span=_span(meta))

    def export(self, meta: Meta, children: list[Any]) -> nodes.Export:
        return nodes.Export(children[0], children[-1], span=_span(meta))

    # ---- clauses ----

    def from_clause(self, meta: Meta, children: list[Any]) -> nodes.From:
        return nodes.From(children[0], children[1] if len(children) > 1 else None, span=_span(meta))

    def layers_from(self, meta: Meta, children: list[Any]) -> nodes.Layers:
        return nodes.Layers(tuple(children[1:]), "from", span=_span(meta))

    def layers_at(self, meta: Meta, children: list[Any]) -> nodes.Layers:
        return nodes.Layers(tuple(children[1:]), span=_span(meta))

    def layer_at(self, meta: Meta, children: list[Any]) -> nodes.Layers:
        return nodes.Layers(tuple(children[1:]), singular=True, span=_span(meta))

    def at(self, meta: Meta, children: list[Any]) -> nodes.At:
        number = None
        if len(children) > 1:
            number = children[1] if len(children) == 2 else _negated(children[1], children[2])
        return nodes.At(children[0].text, number, span=_span(meta))

    def on(self, meta: Meta, children: list[Any]) -> nodes.On:
        return nodes.On(tuple(children), span=_span(meta))

    def over(self, meta: Meta, children: list[Any]) -> nodes.Over:
        return nodes.Over(tuple(children), span=_span(meta))

    def during(self, meta: Meta, children: list[Any]) -> nodes.During:
        return nodes.During(children[0].text, span=_span(meta))

    def window(self, meta: Meta, children: list[Any]) -> nodes.Window:
        return nodes.Window(str(children[0]), children[1], span=_span(meta))

    def when(self, meta: Meta, children: list[Any]) -> nodes.When:
        left, op, right = children
        if isinstance(left, Token):
            left = nodes.Name((str(left),), span=token_span(left))
        return nodes.When(left, str(op), right, span=_span(meta))

    def kept(self, meta: Meta, children: list[Any]) -> nodes.Limit:
        left, *op, right = children
        return nodes.Limit(left, str(op[0]) if op else "==", right, span=_span(meta))

    def keep_when(self, meta: Meta, children: list[Any]) -> nodes.KeepWhen:
        side = str(children[0]) if isinstance(children[0], Token) else ""
        return nodes.KeepWhen(tuple(c for c in children if isinstance(c, nodes.Limit)), side, span=_span(meta))

    def keep(self, meta: Meta, children: list[Any]) -> nodes.Word | nodes.KeepTop:
        match children:
            case [nodes.Name(("top",)), count]:
                return nodes.KeepTop(count, span=_span(meta))
            case [nodes.Name(("norm",))]:
                pass
            case _:
                self.report.add(
                    "S127",
                    "`keep` takes `norm`, or `top` and a number",
                    _span(meta),
                    help="write `keep norm` in an operation, `keep top 3` in `select`",
                )
        return nodes.Word("keep norm", span=_span(meta))

    def amount(self, meta: Meta, children: list[Any]) -> nodes.Amount:
        word, value, *measure = children
        said = (str(measure[0]), token_span(measure[0])) if measure else ()
        return nodes.Amount(str(word), value, *said, span=_span(meta))

    def with_clause(self, meta: Meta, children: list[Any]) -> nodes.With:
        return nodes.With(tuple(children), span=_span(meta))

    def where(self, meta: Meta, children: list[Any]) -> nodes.Where:
        side = str(children[0]) if children[0].type == SIDE else ""
        return nodes.Where(tuple(c for c in children if isinstance(c, nodes.Test)), side, span=_span(meta))

    def test(self, meta: Meta, children: list[Any]) -> nodes.Test:
        field, *op, value = children
        return nodes.Test(field, str(op[0]) if op else "==", value, span=_span(meta))

    def word(self, meta: Meta, children: list[Any]) -> nodes.Word:
        return nodes.Word(str(children[0]), span=_span(meta))

    # ---- values ----

    def range(self, meta: Meta, children: list[Any]) -> nodes.Range:
        start, stop, *step = children
        return nodes.Range(start, stop, step[0] if step else None, span=_span(meta))

    def share(self, meta: Meta, children: list[Any]) -> nodes.Share:
        return nodes.Share(children[0], children[1], span=_span(meta))

    def binary(self, meta: Meta, children: list[Any]) -> nodes.Binary:
        left, op, right = children
        return nodes.Binary(str(op), left, right, span=_span(meta))

    def negative(self, meta: Meta, children: list[Any]) -> nodes.Negative | nodes.Quantity:
        minus, value = children
        if isinstance(value, nodes.Quantity) and not value.text.startswith("-"):
            return _negated(minus, value)
        return nodes.Negative(value, span=_span(meta))

    def quantity(self, meta: Meta, children: list[Any]) -> nodes.Quantity:
        return children[0]  # type: ignore[no-any-return]

    text = name = quantity

    def sequence(self, meta: Meta, children: list[Any]) -> nodes.List:
        return nodes.List(tuple(children), span=_span(meta))

    def index(self, meta: Meta, children: list[Any]) -> nodes.Index:
        return nodes.Index(children[0], tuple(children[1:]), span=_span(meta))

    def call(self, meta: Meta, children: list[Any]) -> nodes.Call:
        name, *args = children
        return nodes.Call(name.text, tuple(args), span=_span(meta), name_span=name.span)

    def option(self, meta: Meta, children: list[Any]) -> nodes.Option:
        *side, key, value = children
        if side:
            whole = token_span(side[0]).to(key.span)
            return nodes.Option(f"{side[0]} {key.text}", value, span=_span(meta), key_span=whole)
        return nodes.Option(key.text, value, span=_span(meta), key_span=key.span)

    def switched(self, meta: Meta, children: list[Any]) -> nodes.Name:
        return nodes.Name((str(children[0]),), span=_span(meta))

    def key(self, meta: Meta, children: list[Any]) -> nodes.Name:
        word = children[0]
        return word if isinstance(word, nodes.Name) else nodes.Name((str(word),), span=token_span(word))


def _verb(children: list[Any]) -> tuple[Token, Any, tuple[nodes.Clause, ...]]:
    """Split a verb's children into the verb, its subject and its clauses."""
    verb, *rest = children
    subject = rest.pop(0) if rest and not isinstance(rest[0], nodes.Clause) else None
    return verb, subject, tuple(rest)


def _negated(minus: Token, number: nodes.Quantity) -> nodes.Quantity:
    span = token_span(minus).to(number.span)
    return nodes.Quantity(-number.value, number.unit, "-" + number.text, span=span)
