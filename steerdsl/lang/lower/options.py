"""Options: `with max_tokens: 64` and the arguments in a call's brackets.

In: the options as written and the `Arg`s that the owner declares, its own or a registry entry's.
Out: checked values by name, defaults filled in (None ones are left out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.paths import ending, inside
from steerdsl.lang.lower.phrases import listed
from steerdsl.lang.lower.strengths import strength
from steerdsl.lang.source import Span
from steerdsl.registry import Arg


def options(
    ctx: Context,
    items: Sequence[nodes.Option | nodes.Expr],
    args: Sequence[Arg],
    owner: str,
    at: nodes.Node | Span,
    *,
    positional: bool = False,
) -> dict[str, Any]:
    """Check what is given against `args`. `owner` is named in messages; with `positional`, values
    without a name go to the arguments in order; `at` is where a missing one is reported."""
    given = _named(ctx, items, args, owner, positional)
    result: dict[str, Any] = {}
    for arg in args:
        if arg.name in given:
            value = typed(ctx, given[arg.name], arg)
            if value is not None:
                result[arg.name] = value
        elif arg.required:
            form = f"`{owner}({_completed(ctx, given, args)})`" if positional else f"`with {arg.name}: {example(arg)}`"
            ctx.error("S406", f"`{owner}` needs `{arg.name}`", at, help=f"write {form}: {arg.doc}")
        elif arg.default is not None:
            result[arg.name] = arg.default
    return result


def _named(
    ctx: Context, items: Sequence[nodes.Option | nodes.Expr], args: Sequence[Arg], owner: str, positional: bool
) -> dict[str, nodes.Item]:
    known = [arg.name for arg in args]
    given: dict[str, nodes.Item] = {}
    for place, item in enumerate(items):
        if not isinstance(item, nodes.Option):
            if positional and place < len(known):
                given[known[place]] = item
            elif positional:
                ctx.error("S314", f"`{owner}` takes {count(len(known))}", item, help="leave this one out")
            else:
                ctx.error("S404", f"`{owner}` has no place for this", item, "not `name: value`", help=_known(known))
        elif item.key not in known:
            close = nearest(item.key, known)
            help = f"did you mean `{close}`?" if close else _known(known)
            ctx.error("S404", f"`{owner}` has no option `{item.key}`", item.key_span, help=help)
        elif item.key in given:
            ctx.error("S405", f"`{item.key}` is given twice", item.key_span, help="keep one of the two")
        else:
            given[item.key] = item.value
    return given


def _completed(ctx: Context, given: Mapping[str, nodes.Item], args: Sequence[Arg]) -> str:
    """The arguments of a call as written, with examples of those that it needs and lacks."""
    required = [ctx.written(given[arg.name]) if arg.name in given else example(arg) for arg in args if arg.required]
    more = [f"{arg.name}: {ctx.written(given[arg.name])}" for arg in args if not arg.required and arg.name in given]
    return ", ".join([*required, *more])


def _known(known: Sequence[str]) -> str:
    return f"it takes {listed(known)}" if known else "it does not take options"


def count(n: int) -> str:
    return "no arguments" if n == 0 else "one argument" if n == 1 else f"{n} arguments"


def example(arg: Arg) -> str:
    """A value of the right form, for a suggestion."""
    samples = {
        "int": "1",
        "number": "1",
        "share": "20%",
        "angle": "90deg",
        "strength": "10%",
        "text": '"…"',
        "range": "0..100",
    }
    return arg.choices[0] if arg.choices else samples.get(arg.type, "…")


def typed(ctx: Context, expr: nodes.Item, arg: Arg, measure: str = "") -> Any:
    """The value of `expr` as `arg` wants it, a strength in what `measure` says; None after a message."""
    if arg.type == "range":
        return _range(ctx, expr, arg)
    if isinstance(expr, nodes.Range):
        ctx.error("S342", f"`{arg.name}` does not take a range", expr, help=f"write one value, as in `{example(arg)}`")
        return None
    what = f"`{arg.name}`"
    match arg.type:
        case "int":
            return values.whole(ctx, expr, what, arg.least, arg.most)
        case "number":
            return values.number(ctx, expr, what, arg.least, arg.most)
        case "share":
            return values.share(ctx, expr, what, arg)
        case "angle":
            return values.angle(ctx, expr, what)
        case "strength":
            return strength(ctx, expr, what, measure)
        case "word":
            return values.word(ctx, expr, what, arg.choices)
        case "text":
            return _text(ctx, expr, arg)
        case "flag":
            return values.flag(ctx, expr, what)
        case "vector" | "plane" | "layers" | "data":
            return ctx.shared.readers[arg.type](ctx, expr)
        case "score" | "search" | "range":
            raise ValueError(f"a {arg.type} has no value of its own here")


def _range(ctx: Context, expr: nodes.Item, arg: Arg) -> tuple[float, float] | None:
    """Both ends of `0..100`, the lower one first."""
    if not isinstance(expr, nodes.Range):
        title, help = f"`{arg.name}` wants a range", "write its two ends, as in `0..100`"
        ctx.error("S342", title, expr, values.sort_of(expr), help=help)
        return None
    ends = [values.number(ctx, end, f"an end of `{arg.name}`", arg.least, arg.most) for end in (expr.start, expr.stop)]
    low, high = ends
    if expr.step is not None:
        ctx.error("S342", f"`{arg.name}` takes no step", expr.step, help="leave `step` out")
        return None
    if low is None or high is None:
        return None
    if low >= high:
        help = f"write `{high:g}..{low:g}`" if low > high else "write two numbers that differ, as in `0..100`"
        ctx.error("S342", f"`{arg.name}` runs from its lowest to its highest number", expr, help=help)
        return None
    return low, high


def _text(ctx: Context, expr: nodes.Expr, arg: Arg) -> str | tuple[str, ...] | None:
    """A text, or the words of a list; what names a file stays inside the recipe's folder."""
    if isinstance(expr, nodes.List) and arg.listed:
        words = [values.text(ctx, item, f"a word of `{arg.name}`") for item in expr.items]
        found = tuple(word for word in words if word is not None)
        return found if len(found) == len(words) else None
    text = values.text(ctx, expr, f"`{arg.name}`")
    if text is None or not arg.names_file(text) or not ending(text):
        return text
    return inside(ctx, nodes.Text(text, span=expr.span))


def defaults(args: Sequence[Arg]) -> dict[str, Any]:
    """What the arguments are when nothing is said; those without a default are left out."""
    return {arg.name: arg.default for arg in args if not arg.required and arg.default is not None}


def split_options(items: Sequence[nodes.Option | nodes.Expr]) -> tuple[list[nodes.Option], list[nodes.Expr]]:
    """Named options and bare values apart."""
    named = [i for i in items if isinstance(i, nodes.Option)]
    return named, [i for i in items if not isinstance(i, nodes.Option)]
