"""`generate` and `evaluate`: what is asked of the model and how the answers are scored.

In: the statements. Out: `Generate` and `Evaluate` steps. Parts of data sets that are not named stay
open until the end of the recipe (`data.settle`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from steerdsl.lang import nodes
from steerdsl.lang.lower import data, values
from steerdsl.lang.lower.clauses import sort_clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.names import MAIN, find, named
from steerdsl.lang.lower.options import options, split_options
from steerdsl.lang.lower.phrases import either, example
from steerdsl.lang.lower.words import entry, entry_of
from steerdsl.lang.nodes import Name
from steerdsl.lang.reads import answered, needs
from steerdsl.lang.recipe import DataRef, Evaluate, Generate, MetricCall
from steerdsl.lang.source import Span
from steerdsl.lang.vocabulary import EVALUATE, GENERATE

COLDEST = 0.001
# Of an evaluation in a `tune`, whose trials are compared with each other.
UNCONTROLLED = tuple(replace(arg, default="none") if arg.name == "controls" else arg for arg in EVALUATE)
DEFAULT_METRICS = ("bleu", "rouge_1", "rouge_l")


def lower_generate(ctx: Context, node: nodes.Action, name: str) -> Generate | None:
    errors = ctx.errors
    clauses = sort_clauses(ctx, "generate", node.clauses)
    if node.subject is not None:
        help = f"write `with steer: {values.printed(node.subject)}`"
        ctx.error("S317", "`generate` takes its steer as an option", node.subject, help=help)
    clause = clauses.one("from", nodes.From)
    ref = _prompts(ctx, node, clause)
    given = clauses.given
    chosen = options(ctx, given, GENERATE, "generate", node.verb_span)
    named_steer = option_given(given, "steer")
    if "steer" in chosen and named_steer is not None:
        chosen["steer"] = steer_named(ctx, named_steer)
    warm_enough(ctx, given, chosen)
    warn_same(ctx, chosen, node.verb_span)
    if ref is None or ctx.errors > errors:
        return None
    return Generate(name, ref, **chosen, span=node.span)


def _prompts(ctx: Context, node: nodes.Action, clause: nodes.From | None) -> DataRef | None:
    if clause is None:
        help = "write `from econ.held_out`"
        ctx.error("S403", "`generate` needs prompts", node.verb_span, help=help)
        return None
    if clause.against:
        ctx.error("S317", "`generate` takes one data set", clause.against, help="write two `generate` statements")
    return data.reference(ctx, clause.source, "see")


def steer_named(ctx: Context, expr: nodes.Expr) -> str | None:
    """The steer that an option names; None after a message."""
    value = values.constant(ctx, expr)
    if isinstance(value, Name) and len(value.parts) == 1:
        found = find(ctx, value, "steer")
        return found.name if found else None
    if value is not None:
        known = named(ctx, ("steer",))
        help = f"write {either(known)}" if known else f"define one first, as in `{example('steer')}`"
        ctx.error("S302", "a steer is wanted here", expr, values.label(expr, value), help=help)
    return None


def written_steer(ctx: Context, node: nodes.Action) -> str | None:
    """The axis that stands for the steer of a `generate` or `evaluate`: its answers and scores are called by it at
    every point. None where the steer is named."""
    clauses = (clause for clause in node.clauses if isinstance(clause, nodes.With))
    expr = node.subject or next((option_given(clause.items, "steer") for clause in clauses), None)
    symbol = ctx.scope.symbols.get(expr.text) if isinstance(expr, Name) else None
    return symbol.name if symbol is not None and symbol.kind == "axis" else None


def option_given(items: Sequence[nodes.Option | nodes.Expr], key: str) -> nodes.Expr | None:
    """What is given for an option, as it is written; a range is reported elsewhere."""
    named = (item.value for item in items if isinstance(item, nodes.Option) and item.key == key)
    return next((value for value in named if not isinstance(value, nodes.Range)), None)


def warm_enough(ctx: Context, items: Sequence[nodes.Option | nodes.Expr], chosen: Mapping[str, Any]) -> None:
    """Refuse temperatures by which logits cannot be divided in float32."""
    temperature = option_given(items, "temperature")
    if temperature is not None and 0 < chosen.get("temperature", 0) < COLDEST:
        help = "write `0`, which takes the likeliest token each time"
        ctx.error("S305", f"`temperature` must be 0 or at least {COLDEST:g}", temperature, help=help)


def warn_same(ctx: Context, chosen: Mapping[str, Any], at: Span) -> None:
    """Warn of several answers that are one and the same."""
    if chosen.get("n", 1) > 1 and chosen.get("temperature") == 0:
        help = "write `temperature: 0.7`, or leave out `n`"
        ctx.warn("S454", f"{chosen['n']} answers at temperature 0 are the same answer", at, help=help)


def lower_evaluate(ctx: Context, node: nodes.Action, name: str) -> Evaluate | None:
    errors = ctx.errors
    clauses = sort_clauses(ctx, "evaluate", node.clauses)
    steer = steer_named(ctx, node.subject) if node.subject is not None else _only_steer(ctx, node.verb_span)
    given, calls = split_options(clauses.given)
    metrics = _metrics(ctx, calls)
    on = clauses.one("on", nodes.On)
    # A task of lm-evaluation-harness brings its own data.
    alone = on is None and bool(metrics) and all(metric.task is not None for metric in metrics)
    refs = () if alone else _scored(ctx, node, on)
    chosen = options(ctx, given, UNCONTROLLED if ctx.block == "tune" else EVALUATE, "evaluate", node.verb_span)
    warm_enough(ctx, given, chosen)
    if steer is None or ctx.errors > errors:
        return None
    _warn_unread(ctx, given, metrics, chosen)
    return Evaluate(name, steer, refs, metrics, chosen, span=node.span)


def _warn_unread(
    ctx: Context, given: Sequence[nodes.Option | nodes.Expr], metrics: Sequence[MetricCall], chosen: Mapping[str, Any]
) -> None:
    """Options that change nothing, since nothing that is scored reads them."""
    unread = {}
    if not answered(metrics):
        unread = dict.fromkeys(("max_tokens", "temperature", "seed"), "no metric reads answers")
    if not needs(metrics, "references"):
        unread["references"] = "no metric compares with references"
    if chosen.get("controls") in ("none", "prompting"):
        unread["draws"] = f"`controls: {chosen['controls']}` asks for no random control"
    if chosen.get("controls") in ("none", "random"):
        unread["instruction"] = f"`controls: {chosen['controls']}` asks for no prompting"
    for item in given:
        if isinstance(item, nodes.Option) and item.key in unread:
            ctx.warn("S455", f"`{item.key}` changes nothing: {unread[item.key]}", item.key_span, help="leave it out")


def _only_steer(ctx: Context, at: Span) -> str | None:
    """The steer of an `evaluate` that names none: `main`, or the only one."""
    known = named(ctx, ("steer",))
    if MAIN in known or len(known) == 1:
        only = MAIN if MAIN in known else known[0]
        ctx.scope.used.add(only)
        return only
    if MAIN in ctx.scope.later:
        help = "move it below the last operation, or put the operations into a `steer`"
        ctx.error("S203", f"`{MAIN}` is used before it is defined", at, also=(ctx.scope.later[MAIN],), help=help)
    elif known:
        ctx.error("S416", f"which steer is meant: {either(known)}?", at, help=f"write `evaluate {known[0]}`")
    elif not named(ctx, ("unknown",)):
        help = "write an operation or a `steer` above this line"
        ctx.error("S416", "there is no steer to evaluate", at, help=help)
    return None


def _scored(ctx: Context, node: nodes.Action, on: nodes.On | None) -> tuple[DataRef, ...]:
    if on is None:
        refs = fitted(ctx)
        if not refs:
            ctx.error(
                "S403", "`evaluate` needs data", node.verb_span, help="write `on econ.held_out, generic.held_out`"
            )
        return refs
    refs = tuple(ref for item in on.items if (ref := data.reference(ctx, item, "see")))
    for place, ref in enumerate(refs):
        if any(ref.name == other.name for other in refs[:place]):
            help = "write a second `evaluate` for the other part"
            ctx.error("S405", f"`{ref.name}` is scored twice", ref.span, help=help)
    return refs


def fitted(ctx: Context) -> tuple[DataRef, ...]:
    """Every data set that something was fitted on so far; the part stays open."""
    return tuple(ctx.shared.fitted.values())


def _metrics(ctx: Context, calls: Sequence[nodes.Expr]) -> tuple[MetricCall, ...]:
    if not calls:
        return default_metrics()
    found = [metric_call(ctx, call) for call in calls]
    kept: list[MetricCall] = []
    for call, metric in zip(calls, found, strict=True):
        if metric in kept:
            ctx.error("S405", f"`{metric.name}` is asked for twice", call, help="keep one of the two")
        elif metric is not None and metric.task is not None and metric.task in [other.task for other in kept]:
            help = "write a second `evaluate` for the other"
            ctx.error("S405", f"`{metric.task}` is scored twice", call, help=help)
        elif metric is not None:
            kept.append(metric)
    return tuple(kept)


def metric_call(ctx: Context, expr: nodes.Expr) -> MetricCall | None:
    """A metric with its options; None after a message."""
    symbol = ctx.scope.symbols.get(expr.text) if isinstance(expr, Name) else None
    if symbol is not None and symbol.kind == "axis":
        ctx.scope.used.add(symbol.name)
        help = "write them one after another, as in `with bleu, rouge_l`"
        ctx.error("S477", "an evaluation has all of its metrics at each point", expr, "an axis", help=help)
        return None
    if isinstance(expr, nodes.Call):
        found, args = entry(ctx, "metric", expr.name, expr.name_span), expr.args
    else:
        found, args = entry_of(ctx, "metric", expr), ()
    if found is None:
        return None
    errors = ctx.errors
    chosen = options(ctx, args, found.args, found.name, expr, positional=True)
    return MetricCall(found.name, chosen, span=expr.span) if ctx.errors == errors else None


def default_metrics() -> tuple[MetricCall, ...]:
    """What is scored when nothing is said."""
    return tuple(MetricCall(name) for name in DEFAULT_METRICS)
