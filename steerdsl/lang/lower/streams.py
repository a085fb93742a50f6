"""Streams: `resid_post`, `attn_out`, `head(3, 5)`.

In: an item of `on …`. Out: a `Stream`. Whether the model has it is the plan's question.
"""

from __future__ import annotations

from steerdsl.lang import nodes
from steerdsl.lang.lower import values
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.options import count, split_options
from steerdsl.lang.lower.words import entry, entry_of
from steerdsl.lang.recipe import Stream
from steerdsl.registry import Entry


def stream(ctx: Context, expr: nodes.Expr) -> Stream | None:
    """The stream that an item names; None after a message."""
    expr = values.put_in(ctx, expr)
    if isinstance(expr, nodes.Call):
        found = entry(ctx, "stream", expr.name, expr.name_span)
        return _numbered(ctx, found, expr) if found else None
    found = entry_of(ctx, "stream", expr)
    if found is None:
        return None
    if found.args:
        ctx.error("S314", f"`{found.name}` takes {count(len(found.args))}", expr, help=f"write `{_form(found)}`")
        return None
    return Stream(found.name)


def _numbered(ctx: Context, found: Entry, call: nodes.Call) -> Stream | None:
    options, numbers = split_options(call.args)
    if options or len(numbers) != len(found.args):
        ctx.error("S314", f"`{found.name}` takes {count(len(found.args))}", call, help=f"write `{_form(found)}`")
        return None
    given = zip(numbers, found.args, strict=True)
    wholes = [values.whole(ctx, number, f"`{arg.name}`", arg.least, arg.most) for number, arg in given]
    checked = tuple(n for n in wholes if n is not None)
    return Stream(found.name, checked) if len(checked) == len(wholes) else None


def _form(found: Entry) -> str:
    samples = ", ".join(str(3 + 2 * i) for i in range(len(found.args)))
    return f"{found.name}({samples})" if samples else found.name
