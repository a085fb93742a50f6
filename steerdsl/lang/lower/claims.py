"""Paths into the scores and the claims made of them: `check scores.bleu.econ < 50% of baseline`.

In: dotted names and `check` statements. Out: paths that are known to exist, `Check` steps.
"""

from __future__ import annotations

from typing import Literal

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context, Symbol
from steerdsl.lang.lower.names import find, part_span
from steerdsl.lang.lower.phrases import either
from steerdsl.lang.nodes import Name, Quantity
from steerdsl.lang.recipe import Check, Evaluate, Figure
from steerdsl.lang.variants import BASELINE

COSINE = "cosine"
COSINE_PATH = "cosine()"  # no name of a recipe looks like this
Order = Literal["<", "<=", ">", ">=", "==", "!="]
ORDERS: dict[str, Order] = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "==": "==", "!=": "!="}


def score_path(ctx: Context, name: Name) -> Symbol | None:
    """The evaluation that `scores.bleu.econ` reads, if it has that metric and data set."""
    symbol = find(ctx, name, "scores", swept=True)
    scores = symbol.value if symbol else None
    if symbol is None or not isinstance(scores, Evaluate):
        return symbol
    first, *rest = name.parts
    levels = [[metric.name for metric in scores.metrics], _places(scores, rest[0] if rest else "")]
    if not rest:
        help = f"write `{first}.{levels[0][0]}`"
        ctx.error("S215", f"`{first}` is an evaluation, not one score", name, help=help)
        return None
    for place, (part, known, noun) in enumerate(zip(rest, levels, ("metric", "data set"), strict=False), 1):
        if part not in known:
            close = nearest(part, known)
            help = f"did you mean `{close}`?" if close else f"write {either(known)}"
            ctx.error("S215", f"`{first}` has no {noun} `{part}`", part_span(name, place), help=help)
            return None
    if levels[0].count(rest[0]) > 1 and not _of_tasks(scores, rest[0]):
        help = "write two evaluations, one for each"
        ctx.error("S215", f"`{first}.{rest[0]}` may be either of two", name, help=help)
        return None
    if len(rest) > 2:
        help = f"write `{'.'.join(name.parts[:3])}`"
        ctx.error("S215", f"a score has no part `{rest[2]}`", part_span(name, 3), help=help)
        return None
    return symbol


def _of_tasks(scores: Evaluate, metric: str) -> bool:
    return any(call.task is not None for call in scores.metrics if call.name == metric)


def _places(scores: Evaluate, metric: str) -> list[str]:
    """What a metric has figures of: the tasks of `lm_eval`, the data sets of any other."""
    if _of_tasks(scores, metric):
        return [call.task for call in scores.metrics if call.name == metric and call.task is not None]
    return [ref.name for ref in scores.data]


def lower_check(ctx: Context, node: nodes.Check) -> None:
    errors = ctx.errors
    left, right = _figure(ctx, node.left), _figure(ctx, node.right)
    if left is None or right is None:
        return
    if not (left.path or right.path):
        help = "write a score on one side, as in `check scores.bleu.econ < 50`"
        ctx.error("S421", "this claim says nothing of any score", node, help=help)
    left, right = _beside(left, right), _beside(right, left)
    if ctx.errors == errors:
        ctx.steps.append(Check(left, ORDERS[node.op], right, ctx.written(node), span=node.span))


def _beside(figure: Figure, other: Figure) -> Figure:
    """The baseline's figure is read at the path of the other side."""
    return Figure(None, other.path, figure.share, True) if figure.baseline else figure


def _figure(ctx: Context, expr: nodes.Expr) -> Figure | None:
    if isinstance(expr, nodes.Share):
        share = values.share(ctx, expr.share, "the part before `of`")
        whole = _figure(ctx, expr.whole)
        if share is None or whole is None:
            return None
        if whole.value is not None:
            ctx.error(
                "S421", "a share is taken of a score", expr.whole, "a plain number", help="write the number itself"
            )
            return None
        return Figure(None, whole.path, share, whole.baseline)
    if isinstance(expr, nodes.Call) and expr.name == COSINE:
        return _cosine(ctx, expr)
    if isinstance(expr, Name) and expr.text == BASELINE:
        return Figure(baseline=True)
    value = values.constant(ctx, expr)
    if isinstance(value, Quantity) and value.unit in ("", "%"):
        return Figure(value.value / 100 if value.unit else value.value)
    if isinstance(value, Name):
        return Figure(path=value.parts) if score_path(ctx, value) else None
    if value is not None:
        help = "write a score, a number, or a share of the baseline's, as in `50% of baseline`"
        ctx.error("S421", "a claim compares scores", expr, values.label(expr, value), help=help)
    return None


def _cosine(ctx: Context, call: nodes.Call) -> Figure | None:
    """`cosine(u, v)` of two named vectors, as the path ("cosine()", "u", "v")."""
    if len(call.args) != 2:
        help = "write two vectors, as in `check cosine(u, v) > 0.9`"
        ctx.error("S314", f"`{COSINE}` takes two arguments", call, help=help)
        return None
    names = []
    for arg in call.args:
        if not isinstance(arg, Name):
            ctx.error("S205", f"`{COSINE}` takes names", arg, help="bind the vector to a name, then write the name")
        elif find(ctx, arg, "vector") is not None:
            names.append(arg.text)
    return Figure(path=(COSINE_PATH, *names)) if len(names) == 2 else None
