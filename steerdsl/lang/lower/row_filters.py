"""`where label == 1`, `positive where label == 1`: which rows a data set has, and which of them are on which side.

In: the clauses of a `dataset` statement. Out: the data set with its conditions.
"""

from __future__ import annotations

from dataclasses import replace

from steerdsl.lang import nodes
from steerdsl.lang.grammar import SIDES
from steerdsl.lang.lower.clauses import Clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.values import constant, label
from steerdsl.lang.nodes import Name, Text
from steerdsl.lang.recipe import DataSpec, Where


def filtered(ctx: Context, base: DataSpec, clauses: Clauses) -> DataSpec | None:
    """The data set with the conditions of its `where` clauses added."""
    own = clauses.one("where", nodes.Where)
    sides = {side: clause for side in SIDES if (clause := clauses.one(f"{side} where", nodes.Where))}
    if len(sides) == 1:
        side, clause = next(iter(sides.items()))
        other = SIDES[1 - SIDES.index(side)]
        help = f"add `{other} where …`, or write `where …` for one data set"
        ctx.error("S406", f"two sides need `{other} where` too", clause, help=help)
        return None
    if (own or sides) and base.kind == "inline":
        clause = own or next(iter(sides.values()))
        ctx.error("S442", "prompts in a list have no fields", clause, help="leave out the prompts that you do not want")
        return None
    errors = ctx.errors
    where = tuple(_test(ctx, test) for test in own.tests) if own else ()
    both = {side: tuple(_test(ctx, test) for test in clause.tests) for side, clause in sides.items()}
    if ctx.errors > errors:
        return None
    added = tuple(test for test in where if test is not None)
    kept = {side: tuple(test for test in tests if test is not None) for side, tests in both.items()}
    return replace(base, where=(*base.where, *added), sides=kept or base.sides)


def _test(ctx: Context, test: nodes.Test) -> Where | None:
    """`label == 1`; None after a message."""
    field = test.field.value if isinstance(test.field, Text) else test.field.text
    value = constant(ctx, test.value)
    match value:
        case Text(value=text) if test.op in ("==", "!="):
            return Where(field, test.op, text)  # type: ignore[arg-type]
        case Name(parts=("true" | "false",)) if test.op in ("==", "!="):
            return Where(field, test.op, value.text == "true")  # type: ignore[arg-type]
        case nodes.Quantity(value=number, unit=""):
            return Where(field, test.op, number)  # type: ignore[arg-type]
        case None:
            return None
        case Text():
            help = f"write a number, or `{field} == …`"
            ctx.error("S442", f"texts are in no order: `{test.op}` compares numbers", test, help=help)
        case _:
            quoted = f'`{field} {test.op} "{value.text}"`' if isinstance(value, Name) else '`1`, `"joy"` or `true`'
            title = "a field is compared with a number, a text, `true` or `false`"
            ctx.error("S442", title, test.value, label(test.value, value), help=f"write {quoted}")
    return None
