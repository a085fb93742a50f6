"""Random syntax trees, for properties of the formatter and the parser."""

from __future__ import annotations

from hypothesis import strategies as st

from steerdsl.lang import nodes
from steerdsl.lang.grammar import SIDES, keywords

RESERVED = frozenset(keywords().values())
UNITS = ("", "%", "deg", "rad", "turn", "degrees")

words = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(lambda w: w not in RESERVED)
names = st.builds(lambda w: nodes.Name((w,)), words)
dotted = st.builds(lambda ws: nodes.Name(tuple(ws)), st.lists(words, min_size=1, max_size=3))
texts = st.builds(nodes.Text, st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12))


@st.composite
def quantities(draw: st.DrawFn) -> nodes.Quantity:
    number = draw(st.sampled_from(["0", "3", "16", "0.5", "40.0", "1e-3", "2.5E+4", "007"]))
    text = number if draw(st.booleans()) else "-" + number
    # A unit that begins with e or E would read as part of an exponent; no unit of the language does.
    return nodes.Quantity(float(text), draw(st.sampled_from(UNITS)), text)


def _larger(inner: st.SearchStrategy[nodes.Expr]) -> st.SearchStrategy[nodes.Expr]:
    operands = inner.filter(lambda e: not isinstance(e, nodes.Text))
    some = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(
        st.builds(nodes.Index, st.one_of(dotted, calls(inner)), items(inner)),
        calls(inner),
        st.builds(nodes.Binary, st.sampled_from("+-*"), operands, operands),
        st.builds(nodes.Negative, dotted | calls(inner)),
        st.builds(nodes.Share, quantities(), dotted),
        st.builds(nodes.List, some),
    )


def calls(inner: st.SearchStrategy[nodes.Expr]) -> st.SearchStrategy[nodes.Call]:
    return st.builds(nodes.Call, words, st.lists(inner | options(inner), max_size=3).map(tuple))


def options(inner: st.SearchStrategy[nodes.Expr]) -> st.SearchStrategy[nodes.Option]:
    sided = st.builds(lambda side, word: f"{side} {word}", st.sampled_from(SIDES), words)
    return st.builds(nodes.Option, words | st.sampled_from(sorted(RESERVED)) | sided, inner)


def items(inner: st.SearchStrategy[nodes.Expr]) -> st.SearchStrategy[tuple[nodes.Item, ...]]:
    ranges = st.builds(nodes.Range, inner, inner, st.none() | inner)
    return st.lists(inner | ranges, min_size=1, max_size=3).map(tuple)


values: st.SearchStrategy[nodes.Expr] = st.recursive(st.one_of(quantities(), texts, dotted), _larger, max_leaves=3)
several = st.lists(values, min_size=1, max_size=3).map(tuple)
comparisons = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])

kept = st.lists(st.builds(nodes.Limit, values, comparisons, values), min_size=1, max_size=3).map(tuple)

clauses: st.SearchStrategy[nodes.Clause] = st.one_of(
    st.builds(nodes.From, values, st.none() | values),
    st.builds(nodes.Layers, items(values), st.sampled_from(["at", "from"])),
    st.builds(nodes.Layers, items(values), st.just("at"), st.just(True)),
    st.builds(nodes.At, words, st.none() | quantities()),
    st.builds(nodes.On, several),
    st.builds(nodes.Over, several),
    st.builds(nodes.Word, st.sampled_from(["everywhere", "adaptive", "polar", "keep norm"])),
    st.builds(nodes.During, words),
    st.builds(nodes.Window, st.sampled_from(["first", "after"]), values),
    st.builds(nodes.When, values | st.just(nodes.Name(("step",))), comparisons, values),
    st.builds(nodes.KeepTop, values),
    st.builds(nodes.KeepWhen, kept, st.sampled_from(("", *SIDES))),
    st.builds(nodes.Amount, st.sampled_from(["by", "to", "toward", "against"]), values),
    st.builds(nodes.Amount, st.just("by"), quantities() | dotted, st.sampled_from(["sd", "dose"])),
    st.builds(nodes.With, st.lists(values | options(values), min_size=1, max_size=3).map(tuple)),
)
some_clauses = st.lists(clauses, max_size=3).map(tuple)

actions = st.one_of(
    st.builds(nodes.Action, st.sampled_from(["extract", "select", "load", "orthogonalize"]), values, some_clauses),
    st.builds(nodes.Action, st.sampled_from(["generate", "evaluate"]), st.none() | values, some_clauses),
)
simple: st.SearchStrategy[nodes.Statement] = st.one_of(
    st.builds(nodes.Edition, quantities().filter(lambda q: q.value > 0 or q.text[0] != "-")),
    st.builds(nodes.Use, texts | dotted),
    st.builds(nodes.Param, names, values, st.none() | texts),
    st.builds(nodes.Model, texts, some_clauses),
    st.builds(nodes.Dataset, names, texts | dotted, some_clauses),
    actions,
    st.builds(nodes.Binding, names, actions | st.builds(nodes.Value, values, some_clauses)),
    st.builds(
        nodes.Operation,
        st.sampled_from(["ablate", "add", "clamp", "cap", "rotate", "patch"]),
        st.none() | values,
        some_clauses,
    ),
    st.builds(nodes.Plot, values, some_clauses),
    st.builds(nodes.Check, values, comparisons, values, some_clauses),
    st.builds(nodes.Export, values, texts),
)


def _blocks(inner: st.SearchStrategy[nodes.Statement]) -> st.SearchStrategy[nodes.Statement]:
    body = st.lists(inner, max_size=3).map(tuple)
    axes = st.lists(st.builds(nodes.Axis, names, items(values)), min_size=1, max_size=3).map(tuple)
    return st.builds(nodes.Steer, names, body) | st.builds(nodes.Sweep, axes, body)


statements = st.recursive(simple, _blocks, max_leaves=4)
files = st.builds(nodes.File, st.lists(statements, max_size=4).map(tuple))
