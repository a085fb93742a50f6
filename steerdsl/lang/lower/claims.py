"""Paths into the scores and the claims made of them: `check scores.bleu.econ < 50% of baseline`.

In: dotted names and `check` statements. Out: paths that are known to exist, `Check` steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.lower import correlations, values
from steerdsl.lang.lower.clauses import sort_clauses
from steerdsl.lang.lower.context import Context, Symbol
from steerdsl.lang.lower.names import find, part_span
from steerdsl.lang.lower.options import options
from steerdsl.lang.lower.phrases import either
from steerdsl.lang.nodes import Name, Quantity
from steerdsl.lang.recipe import READ_FIGURES, Check, Evaluate, Figure, Read, Term
from steerdsl.lang.variants import HELD_AGAINST, PROMPTED, RANDOM
from steerdsl.lang.vocabulary import CHECK

COSINE = "cosine"
CORRELATION = "correlation"
COSINE_PATH = "cosine()"  # no name of a recipe looks like this
NO_INTERVAL = {
    COSINE_PATH: "the cosine of two vectors has no sampling error",
    correlations.CORRELATION_PATH: "a correlation is over the classes' vectors, and not over prompts",
}
OF_VECTORS = tuple(NO_INTERVAL)
LOWEST = 0.5
MISSING: Mapping[str, tuple[str, ...]] = {"none": (RANDOM, PROMPTED), "random": (PROMPTED,), "prompting": (RANDOM,)}
Order = Literal["<", "<=", ">", ">=", "==", "!="]
ORDERS: dict[str, Order] = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "==": "==", "!=": "!="}


def score_path(ctx: Context, name: Name) -> Symbol | None:
    """The evaluation that `scores.bleu.econ` reads, if it has that metric and data set."""
    symbol = find(ctx, name, "scores", swept=True)
    scores = symbol.value if symbol else None
    if symbol is None or not isinstance(scores, Evaluate | Read):
        return symbol
    first, *rest = name.parts
    levels = [_figures(ctx, scores), _places(scores, rest[0] if rest else "")]
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
    if levels[0].count(rest[0]) > 1 and isinstance(scores, Evaluate) and not _of_tasks(scores, rest[0]):
        help = "write two evaluations, one for each"
        ctx.error("S215", f"`{first}.{rest[0]}` may be either of two", name, help=help)
        return None
    if len(rest) > 2:
        help = f"write `{'.'.join(name.parts[:3])}`"
        ctx.error("S215", f"a score has no part `{rest[2]}`", part_span(name, 3), help=help)
        return None
    return symbol


def _figures(ctx: Context, scores: Evaluate | Read) -> list[str]:
    """What an evaluation or a reading gives."""
    if isinstance(scores, Evaluate):
        return [metric.label for metric in scores.metrics]
    two = [ref.side is None and ctx.shared.data[ref.name].two_sided for ref in scores.data]
    of_two = READ_FIGURES[2:] if any(two) else ()
    return [*of_two, *(READ_FIGURES[:2] if not all(two) else ())]


def _of_tasks(scores: Evaluate, metric: str) -> bool:
    return any(call.task is not None for call in scores.metrics if call.name == metric)


def _places(scores: Evaluate | Read, metric: str) -> list[str]:
    """What a metric has figures of: the tasks of `lm_eval`, the data sets of any other."""
    if isinstance(scores, Evaluate) and _of_tasks(scores, metric):
        return [call.task for call in scores.metrics if call.name == metric and call.task is not None]
    return [ref.label for ref in scores.data]


def lower_check(ctx: Context, node: nodes.Check) -> None:
    errors = ctx.errors
    given = sort_clauses(ctx, "check", node.clauses).given
    confidence = options(ctx, given, CHECK, "check", node).get("confidence")
    claim = compared(ctx, node, confidence)
    if claim is None:
        return
    if confidence is not None:
        _require_chance(ctx, node, claim, confidence)
    if ctx.errors == errors:
        ctx.steps.append(claim)


def compared(ctx: Context, node: nodes.Check | nodes.Limit, confidence: float | None = None) -> Check | None:
    """Two sides of which one at least is a score; None after a message."""
    errors = ctx.errors
    left, right = figure(ctx, node.left), figure(ctx, node.right)
    if left is None or right is None:
        return None
    if not _paths(left) and not _paths(right):
        help = "write a score on one side, as in `check scores.bleu.econ < 50`"
        ctx.error("S421", "this claim does not name a score", node, help=help)
        return None
    left, right = _beside(ctx, node.left, left, right), _beside(ctx, node.right, right, left)
    claim = Check(left, ORDERS[node.op], right, confidence, ctx.written(node), span=node.span)
    _require_controls(ctx, node, claim)
    return claim if ctx.errors == errors else None


def _paths(figure: Figure) -> list[tuple[str, ...]]:
    """The scores that a side names, each once."""
    return list(dict.fromkeys(term.path for term in figure.terms if term.path))


def _beside(ctx: Context, at: nodes.Expr, figure: Figure, other: Figure) -> Figure:
    """A control's figure is read at the path of the score it is compared with: on its own side, else on the other."""
    alone = [term for term in figure.terms if not term.path]
    known = [path for path in _paths(figure) or _paths(other) if path[0] not in OF_VECTORS]
    if not alone or len(known) == 1:
        return replace(figure, terms=tuple(replace(t, path=t.path or known[0]) for t in figure.terms))
    if not known:
        help = f"name a score on the same line, as in `scores.bleu.econ < {alone[0].variant}`"
        ctx.error("S421", f"there is no score to take `{alone[0].variant}` this could be", at, help=help)
    else:
        scores = either([".".join(path) for path in known])
        help = f"name one score with `{alone[0].variant}`, and put the rest in a separate check"
        ctx.error("S434", f"`{alone[0].variant}` may be that of {scores}", at, help=help)
    return figure


def _require_controls(ctx: Context, node: nodes.Node, claim: Check) -> None:
    """Report a control that the evaluation switches off, or that a reading, which steers nothing, does not have."""
    for term, value in _read(ctx, claim):
        if isinstance(value, Read) and term.variant is not None:
            title = f"`{term.path[0]}` is a reading, which has no `{term.variant}`"
            ctx.error("S432", title, node, help="compare with a number, or with another reading")
            return
    for term, scores in _evaluated(ctx, claim):
        controls = scores.options["controls"]
        if term.variant in MISSING.get(controls, ()):
            title = f"`{term.path[0]}` has no `{term.variant}`: it was asked for `controls: {controls}`"
            ctx.error("S432", title, node, help="write `controls: all` there, or leave the option out")
            return


def _require_chance(ctx: Context, node: nodes.Check, claim: Check, confidence: float) -> None:
    """Report a confidence that no number of prompts can give."""
    if confidence < LOWEST:
        title = f"a confidence is at least {LOWEST:.0%} and below 100%"
        ctx.error("S305", title, node, help="write `confidence: 95%`")
    if claim.op == "==":
        help = "say how near, as in `< 5` and `> -5`, as two checks"
        ctx.error("S430", "no number of prompts shows that two figures are equal", node, help=help)
    named = [term.path[0] for side in (claim.left, claim.right) for term in side.terms]
    if of_vectors := [NO_INTERVAL[name] for name in named if name in OF_VECTORS]:
        help = f"leave out `with confidence`: {of_vectors[0]}"
        ctx.error("S431", "a figure of vectors alone has no interval over prompts", node, help=help)
    for term, scores in _evaluated(ctx, claim):
        if term.variant == RANDOM and scores.options["draws"] == 1:
            title = f"`{term.path[0]}` draws one random control, which has no spread"
            ctx.error("S433", title, node, help="leave out `draws: 1` there, or write more")
            return


def _evaluated(ctx: Context, claim: Check) -> Iterator[tuple[Term, Evaluate]]:
    """Each term of a claim with the evaluation that it reads."""
    for term, value in _read(ctx, claim):
        if isinstance(value, Evaluate):
            yield term, value


def _read(ctx: Context, claim: Check) -> Iterator[tuple[Term, Evaluate | Read]]:
    """Each term of a claim with the evaluation or the reading that it names."""
    for term in (*claim.left.terms, *claim.right.terms):
        symbol = ctx.scope.symbols.get(term.path[0]) if term.path else None
        if symbol is not None and isinstance(symbol.value, Evaluate | Read):
            yield term, symbol.value


def figure(ctx: Context, expr: nodes.Expr) -> Figure | None:
    """One side of a comparison: scores, numbers and sums of them. None after a message."""
    match expr:
        case nodes.Share():
            return _share(ctx, expr)
        case nodes.Call(name=name) if name == COSINE:
            return _cosine(ctx, expr)
        case nodes.Call(name=name) if name == CORRELATION:
            return correlations.correlation(ctx, expr)
        case nodes.Negative(value=inner) if not isinstance(values.constant(ctx, expr), Quantity):
            found = figure(ctx, inner)
            return None if found is None else _times(found, -1)
        case Name(parts=(word,)) if word in HELD_AGAINST and not _is_value(ctx, word):
            return Figure((Term(variant=word),))
    value = values.constant(ctx, expr)
    if isinstance(value, Quantity) and value.unit in ("", "%"):
        return Figure((), value.value / 100 if value.unit else value.value)
    if isinstance(value, nodes.Binary):
        return _calculated(ctx, value)
    if isinstance(value, Name):
        return Figure((Term(value.parts),)) if score_path(ctx, value) else None
    if value is not None:
        help = "write a score, a number, or a share of the baseline's, as in `50% of baseline`"
        ctx.error("S421", "a claim compares scores", expr, values.label(expr, value), help=help)
    return None


def _is_value(ctx: Context, word: str) -> bool:
    """Whether a param or an axis has taken the word; `baseline` no name can take."""
    symbol = ctx.scope.symbols.get(word)
    return symbol is not None and symbol.kind in ("param", "axis")


def _share(ctx: Context, expr: nodes.Share) -> Figure | None:
    """`50% of baseline`."""
    share = values.share(ctx, expr.share, "the part before `of`")
    whole = figure(ctx, expr.whole)
    if share is None or whole is None:
        return None
    if not whole.terms:
        help = "write the number itself"
        ctx.error("S421", "a share is taken of a score", expr.whole, "a plain number", help=help)
        return None
    return _times(whole, share)


def _calculated(ctx: Context, expr: nodes.Binary) -> Figure | None:
    """The sum, the difference or a multiple of scores."""
    left, right = figure(ctx, expr.left), figure(ctx, expr.right)
    if left is None or right is None:
        return None
    if expr.op != "*":
        right = right if expr.op == "+" else _times(right, -1)
        return Figure((*left.terms, *right.terms), left.value + right.value)
    if left.terms and right.terms:
        ctx.error("S313", "scores cannot be multiplied", expr, help="compare their difference")
        return None
    return _times(right, left.value) if right.terms else _times(left, right.value)


def _times(figure: Figure, factor: float) -> Figure:
    return Figure(tuple(replace(t, share=t.share * factor) for t in figure.terms), figure.value * factor)


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
    return Figure((Term((COSINE_PATH, *names)),)) if len(names) == 2 else None
