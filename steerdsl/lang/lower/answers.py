"""`dataset evil = answers to questions with positive system: "…", n: 10 keep when refusal_rate == 0`.

In: the statement. Out: a data set whose rows are the model's answers, and the `AnswerData` step that makes them. The
questions' split is that of their answers: an answer to a held-out question is held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from steerdsl.lang import nodes
from steerdsl.lang.grammar import SIDES
from steerdsl.lang.lower import data, values
from steerdsl.lang.lower.clauses import Clauses, sort_clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.measures import metric_call, option_given, steer_named, warm_enough, warn_same
from steerdsl.lang.lower.names import define
from steerdsl.lang.lower.options import options
from steerdsl.lang.lower.phrases import listed
from steerdsl.lang.nodes import Name
from steerdsl.lang.reads import needs, of_one_answer
from steerdsl.lang.recipe import AnswerData, Asking, DataRef, DataSpec, Kept, MetricCall
from steerdsl.lang.vocabulary import ANSWERS, DATASET
from steerdsl.registry import entries

MADE = "answers"
INSTRUCTION = "{instruction}"  # in a system prompt: the instruction of a trait file
PER_SIDE = ("system", "prefix")
SAMPLING = ("steer", "max_tokens", "temperature", "n", "seed")


def lower_dataset(ctx: Context, node: nodes.Dataset) -> None:
    """Declare a data set: of answers, or of rows that there are."""
    named = isinstance(node.source, Name) and node.source.parts == (MADE,)
    if named and _to(node) is not None:
        _lower_answers(ctx, node)
    elif named and MADE not in ctx.scope.symbols and MADE not in ctx.scope.later:
        ctx.error("S403", "`answers` needs questions", node.source, help="write `answers to econ`")
        define(ctx, node.name, "data")
    else:
        data.lower_dataset(ctx, node)


def _to(node: nodes.Dataset) -> nodes.Amount | None:
    """The clause that says what is answered."""
    return next((c for c in node.clauses if isinstance(c, nodes.Amount) and c.word == "to"), None)


def _lower_answers(ctx: Context, node: nodes.Dataset) -> None:
    """A data set of answers; its name is known afterwards even when something about it is wrong."""
    errors, name = ctx.errors, node.name.text
    clauses = sort_clauses(ctx, MADE, node.clauses)
    asked = _questions(ctx, clauses)
    chosen = options(ctx, _own(ctx, clauses.given, asked), ANSWERS, MADE, node.name)
    named = option_given(clauses.given, "steer")
    if "steer" in chosen and named is not None:
        chosen["steer"] = steer_named(ctx, named)
    warm_enough(ctx, clauses.given, chosen)
    warn_same(ctx, chosen, node.name.span)
    keep = _kept(ctx, clauses)
    asking = _asking(ctx, clauses, chosen, ctx.shared.data[asked.name] if asked else None)
    sided = any(test.side for test in keep)
    _require_both(ctx, clauses, bool(asking) and asking[0].side != "")
    if asked is None or ctx.errors > errors:
        define(ctx, node.name, "data")
        return
    base = ctx.shared.data[asked.name]
    two = sided or asking[0].side != ""
    spec = replace(
        base,
        name=name,
        kind="answers",
        source=f"answers to {asked.name}",
        questions=base.name,
        take=None,
        where=(),
        texts=(),
        columns=(),
        form=None,
        sides={side: () for side in SIDES} if two else {},
        span=node.span,
    )
    if define(ctx, node.name, "data", spec):
        ctx.shared.data[name] = spec
        sampling = {key: chosen[key] for key in SAMPLING if key in chosen}
        ctx.steps.append(AnswerData(name, asked, asking, keep, **sampling, span=node.span))


def _own(
    ctx: Context, given: tuple[nodes.Option | nodes.Expr, ...], asked: DataRef | None
) -> list[nodes.Option | nodes.Expr]:
    """The options without those of a data set that there is, which are said of the questions; reported."""
    theirs = {arg.name for arg in DATASET} - {arg.name for arg in ANSWERS}
    kept: list[nodes.Option | nodes.Expr] = []
    for item in given:
        if isinstance(item, nodes.Option) and item.key in theirs:
            base = asked.name if asked else "questions"
            help = f"declare these first: `dataset asked = {base} with {item.key}: {values.printed(item.value)}`"
            ctx.error("S404", f"`{item.key}` is said of the questions", item.key_span, help=help)
        else:
            kept.append(item)
    return kept


def _questions(ctx: Context, clauses: Clauses) -> DataRef | None:
    """What is answered: all parts of a data set, unless one is named."""
    expr = clauses.amount("to")
    assert expr is not None
    ref = data.reference(ctx, expr, "see")
    if ref is None:
        return None
    spec = ctx.shared.data[ref.name]
    if spec.questions is not None:
        help = f"write `answers to {spec.questions}`, which are the questions"
        ctx.error("S350", f"`{ref.name}` is made of answers, and what is answered is a question", expr, help=help)
        return None
    if spec.two_sided and not spec.sides:
        help = "give it a `field:` alone, without `positive:` and `negative:`"
        ctx.error("S351", f"`{ref.name}` is made of pairs, which have their answers", expr, help=help)
        return None
    return ref if ref.reason else replace(ref, reason="every question")


def _asking(ctx: Context, clauses: Clauses, chosen: Mapping[str, Any], base: DataSpec | None) -> tuple[Asking, ...]:
    """How each side is asked. A trait file has instructions for both sides."""
    sided = [side for side in SIDES if any(f"{side} {what}" in chosen for what in PER_SIDE)]
    trait = base is not None and base.form == "trait"
    alone = trait and "system" in chosen and INSTRUCTION not in "".join(_several(chosen["system"]))
    two = bool(sided) or (trait and not alone)
    for what in PER_SIDE:
        own = [side for side in SIDES if f"{side} {what}" in chosen]
        if what in chosen and own:
            given = option_given(clauses.given, what)
            help = f"leave it out, or write it for each side: `{SIDES[0]} {what}:` and `{SIDES[1]} {what}:`"
            at = clauses.found["with"] if given is None else given
            ctx.error("S352", f"`{what}` is given for both sides, and for one of them", at, help=help)
    found = tuple(
        Asking(side, _systems(chosen, side, trait and not alone), chosen.get(f"{side} prefix", chosen.get("prefix")))
        for side in (SIDES if two else ("",))
    )
    said = [system for one in found for system in one.systems if system is not None and INSTRUCTION in system]
    if said and base is not None and not trait:
        first = next(i for i in clauses.given if isinstance(i, nodes.Option) and i.key.endswith("system"))
        title = f"`{INSTRUCTION}` stands for what a trait file says, and `{base.name}` is none"
        help = f"declare `{base.name}` with `form: trait`, or write the instruction itself"
        ctx.error("S352", title, first, help=help)
    return found


def _systems(chosen: Mapping[str, Any], side: str, trait: bool) -> tuple[str | None, ...]:
    given = chosen.get(f"{side} system".lstrip(), chosen.get("system"))
    if given is None:
        return (INSTRUCTION,) if trait else (None,)
    return tuple(_several(given))


def _several(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _require_both(ctx: Context, clauses: Clauses, two: bool) -> None:
    """Without sides that are asked in two ways, what a side keeps makes the sides, and both must be said."""
    told = [side for side in SIDES if f"{side} where" in clauses or f"{side} keep when" in clauses]
    if two or len(told) != 1:
        return
    word = "where" if f"{told[0]} where" in clauses else "keep when"
    other = SIDES[1 - SIDES.index(told[0])]
    help = f"add `{other} {word} …`, or write `{word} …` for one data set"
    ctx.error("S406", f"two sides need `{other} {word}` too", clauses.found[f"{told[0]} {word}"], help=help)


def _kept(ctx: Context, clauses: Clauses) -> tuple[Kept, ...]:
    """Every condition that an answer must meet, in text order."""
    found: list[Kept | None] = []
    for clause in clauses.found.values():
        match clause:
            case nodes.Where(tests, side):
                found += [_test(ctx, t, t.field, t.op, t.value, side) for t in tests]
            case nodes.KeepWhen(limits, side):
                found += [_test(ctx, t, t.left, t.op, t.right, side) for t in limits]
    return tuple(test for test in found if test is not None)


def _test(ctx: Context, whole: nodes.Node, metric: nodes.Expr, op: str, limit: nodes.Expr, side: str) -> Kept | None:
    """`refusal_rate == 1`; None after a message."""
    if isinstance(metric, nodes.Text):
        help = f"write `{metric.value}` without quotes"
        ctx.error("S353", "answers are kept by a metric, and a metric has no quotes", metric, help=help)
        return None
    call = metric_call(ctx, metric)
    if call is not None and not of_one_answer(call.name):
        known = [name for name in entries("metric") if of_one_answer(name)]
        title = f"`{call.name}` cannot score one answer by itself"
        ctx.error("S353", title, metric, help=f"keep answers by {listed(known, 'or')}")
        return None
    value = _limit(ctx, limit, call)
    if call is None or value is None:
        return None
    return Kept(call, op, value, side, ctx.written(whole))  # type: ignore[arg-type]


def _limit(ctx: Context, expr: nodes.Expr, call: MetricCall | None) -> float | None:
    """A number, or a share as a fraction; a judge's mark is a number on its scale, and no share."""
    what = f"`{call.name}`" if call else "the metric"
    value = values.constant(ctx, expr)
    if isinstance(value, nodes.Quantity) and value.unit == "%":
        if call is not None and needs([call], "marks"):
            help = "write a mark on the scale of the rubric, such as `50` of 0 to 100"
            values.mismatch(ctx, expr, value, what, "a plain number", help=help)
            return None
        return value.value / 100
    return values.number(ctx, expr, what)
