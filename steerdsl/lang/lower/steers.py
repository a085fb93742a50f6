"""Steers: `steer both { use warm; use honest; ablate topic }`, and `main`, which has no braces.

In: the block, or the operations at the top. Out: a `Steer` step with the used ones put in, in text
order.
"""

from __future__ import annotations

from collections.abc import Sequence

from steerdsl.lang import nodes
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.names import MAIN, define, find
from steerdsl.lang.lower.ops import lower_op
from steerdsl.lang.lower.statements import head
from steerdsl.lang.nodes import Name
from steerdsl.lang.recipe import Op, Steer
from steerdsl.lang.source import Span


def lower_steer(ctx: Context, node: nodes.Steer) -> None:
    errors = ctx.errors
    ops: list[Op] = []
    for statement in node.body:
        match statement:
            case nodes.Operation():
                op = lower_op(ctx, statement)
                ops += [op] if op else []
            case nodes.Use(what=Name() as name):
                ops += _used(ctx, name, node)
            case nodes.Bad():
                pass
            case _:
                word, place = head(statement)
                help = "move it out of the braces; a steer holds operations and `use`"
                ctx.error("S415", f"`{word}` has no place in a steer", place, help=help)
    if not node.body:
        help = "write an operation between the braces, as in `ablate topic everywhere`"
        ctx.error("S419", f"the steer `{node.name.text}` does nothing", node.name, "empty", help=help)
    finish(ctx, node.name, ops, node.span, ok=ctx.errors == errors)


def _used(ctx: Context, name: Name, within: nodes.Steer) -> Sequence[Op]:
    if name == within.name:
        ctx.error("S203", f"the steer `{name.text}` uses itself", name, help="name another steer, or leave this out")
        return ()
    symbol = find(ctx, name, "steer")
    return symbol.value if symbol and symbol.kind == "steer" and symbol.value else ()


def finish(ctx: Context, name: Name, ops: Sequence[Op], span: Span, ok: bool) -> None:
    """Name the steer, and add its step when all of it was good."""
    if define(ctx, name, "steer", tuple(ops) if ok else None) and ok:
        ctx.steps.append(Steer(name.parts[0], tuple(ops), span=span))


def main_name(first: nodes.Statement) -> Name:
    """The name of the steer that operations outside braces form, placed at the first of them."""
    return Name((MAIN,), span=head(first)[1])
