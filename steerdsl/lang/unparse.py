"""From nodes back to text: the canonical spelling of each part of a statement.

In: syntax nodes. Out: one-line texts that parse to equal nodes; `format` arranges them in lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from steerdsl.lang import nodes
from steerdsl.registry import entries

ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"})

# How tightly a value binds; brackets go around what binds looser than its place asks.
SHARE, SUM, PRODUCT, UNARY, ATOM = range(5)


def value_text(value: nodes.Item | nodes.Option, place: int = SHARE) -> str:
    """Return a value as text, in brackets when it binds looser than `place` asks."""
    text, level = _value(value)
    return f"({text})" if level < place else text


def _value(value: nodes.Item | nodes.Option) -> tuple[str, int]:
    match value:
        case nodes.Quantity(number, unit):
            return (value.text or f"{number:.12g}") + unit, UNARY if number < 0 else ATOM
        case nodes.Text(text):
            return f'"{text.translate(ESCAPES)}"', ATOM
        case nodes.Name():
            return value.text, ATOM
        case nodes.Index(base, items):
            return f"{value_text(base, ATOM)}[{_list(items, ',')}]", ATOM
        case nodes.Option(key, inner):
            return f"{key}: {value_text(inner)}", ATOM
        case nodes.Call(name, args):
            return f"{name}({_list(args)})", ATOM
        case nodes.List(items):
            return f"[{_list(items)}]", ATOM
        case nodes.Range(start, stop, step):
            by = f" step {value_text(step, SUM)}" if step is not None else ""
            return f"{value_text(start, SUM)}..{value_text(stop, SUM)}{by}", SHARE
        case nodes.Share(share, whole):
            return f"{value_text(share, SUM)} of {value_text(whole, SUM)}", SHARE
        case nodes.Placed(name, number):
            return f"{name.text} {value_text(number)}", SHARE
        case nodes.Negative(inner):
            return f"-{value_text(inner, UNARY)}", UNARY
        case nodes.Binary(op, left, right):
            level = PRODUCT if op == "*" else SUM
            return f"{value_text(left, level)} {op} {value_text(right, level + 1)}", level


def _list(items: Iterable[nodes.Item | nodes.Option], comma: str = ", ") -> str:
    return comma.join(value_text(item) for item in items)


def clause_text(clause: nodes.Clause) -> str:
    """Return a clause as text, beginning with its word."""
    match clause:
        case nodes.From(source, against):
            versus = f" vs {value_text(against)}" if against is not None else ""
            return f"from {value_text(source)}{versus}"
        case nodes.Layers(items, word, singular):
            return f"{word} {'layer' if singular else 'layers'} {_list(items, ',')}"
        case nodes.At(position, number):
            return f"at {position}" + (f" {value_text(number)}" if number is not None else "")
        case nodes.On(items):
            return f"on {_list(items)}"
        case nodes.Over(items):
            return f"over {_list(items)}"
        case nodes.Where(tests, side):
            conditions = " and ".join(f"{value_text(t.field)} {t.op} {value_text(t.value)}" for t in tests)
            return f"{side} where {conditions}".lstrip()
        case nodes.Word(word):
            return word
        case nodes.During(phase):
            return f"during {phase}"
        case nodes.Window(word, count):
            return f"{word} {value_text(count)}"
        case nodes.When(left, op, right):
            return f"when {value_text(left)} {op} {value_text(right)}"
        case nodes.KeepTop(count):
            return f"keep top {value_text(count)}"
        case nodes.KeepWhen(tests, side):
            conditions = " and ".join(f"{value_text(t.left)} {t.op} {value_text(t.right)}" for t in tests)
            return f"{side} keep when {conditions}".lstrip()
        case nodes.Amount(word, value, measure):
            return f"{word} {value_text(value)} {measure}".rstrip()
        case nodes.With(items):
            return f"with {_list(items)}"
        case nodes.Subject(limits):
            return "subject to " + ", ".join(
                f"{value_text(limit.left)} {limit.op} {value_text(limit.right)}" for limit in limits
            )


def head_text(statement: nodes.Statement | nodes.Value) -> str:
    """Return a statement as text, without its clauses, its further axes and its block."""
    match statement:
        case nodes.Edition(number):
            return f"edition {value_text(number)}"
        case nodes.Use(what):
            return f"use {value_text(what)}"
        case nodes.Param(name, value, doc):
            return f"param {name.text} = {value_text(value)}" + (f" {value_text(doc)}" if doc is not None else "")
        case nodes.Model(id):
            return f"model {value_text(id)}"
        case nodes.Dataset(name, source):
            return f"dataset {name.text} = {value_text(source)}"
        case nodes.Binding(name, value):
            return f"{name.text} = {head_text(value)}"
        case nodes.Value(expr):
            return value_text(expr)
        case nodes.Action("select", subject) if subject is not None:
            return f"select layers of {value_text(subject)}"
        case nodes.Action(verb, subject) | nodes.Operation(verb, subject):
            return verb if subject is None else f"{verb} {value_text(subject)}"
        case nodes.Steer(name):
            return f"steer {name.text}"
        case nodes.Tune(axes, _, name):
            return (f"{name.text} = " if name is not None else "") + f"tune {axis_text(axes[0])}"
        case nodes.Goal(word, what):
            return f"{word} {value_text(what)}"
        case nodes.Sweep(axes):
            return f"sweep {axis_text(axes[0])}"
        case nodes.Plot(what):
            return f"plot {value_text(what)}"
        case nodes.Check(left, op, right):
            return f"check {value_text(left)} {op} {value_text(right)}"
        case nodes.Export(what, path):
            return f"export {value_text(what)} to {value_text(path)}"
        case nodes.Bad():
            raise ValueError("a statement that did not parse has no canonical text")


def axis_text(axis: nodes.Axis) -> str:
    return f"{axis.name.text} over {','.join(map(_axis_item, axis.items))}"


def _axis_item(item: nodes.Item) -> str:
    """A value of an axis; the sign of a position's number touches it, as in `token -2`."""
    match item:
        case nodes.Binary("-", nodes.Name() as name, nodes.Quantity() as number) if name.text in entries("position"):
            return f"{name.text} -{value_text(number)}"
        case _:
            return value_text(item)


def clauses_of(statement: nodes.Statement) -> tuple[nodes.Clause, ...]:
    """Return a statement's clauses, those of its value for a binding; none where it has no place for them."""
    holder = statement.value if isinstance(statement, nodes.Binding) else statement
    return getattr(holder, "clauses", ())


def parts(statement: nodes.Statement) -> list[str]:
    """Return a statement's head, then each of its clauses or further axes: where a line may break."""
    if isinstance(statement, nodes.Sweep):
        return [head_text(statement), *(f"and {axis_text(axis)}" for axis in statement.axes[1:])]
    return [head_text(statement), *(clause_text(clause) for clause in clauses_of(statement))]


def statement_text(statement: nodes.Statement) -> str:
    """Return a whole statement in one line."""
    line = " ".join(parts(statement))
    if isinstance(statement, nodes.Steer | nodes.Sweep):
        body = "; ".join(statement_text(inner) for inner in statement.body)
        return f"{line} {{ {body} }}" if body else f"{line} {{}}"
    return line
