"""Statements in text order: the top of a file, a used file, or a sweep's body.

In: statements. Out: steps in `ctx.steps` and names in `ctx.scope`. Operations outside braces
become the steer `main`, which is known from the last of them on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import Label
from steerdsl.lang.lower.answers import lower_dataset
from steerdsl.lang.lower.bindings import VECTOR_NAME, lower_action, lower_binding
from steerdsl.lang.lower.claims import lower_check
from steerdsl.lang.lower.context import Context, Symbol
from steerdsl.lang.lower.names import MAIN
from steerdsl.lang.lower.ops import lower_op
from steerdsl.lang.lower.outputs import lower_export, lower_plot
from steerdsl.lang.lower.settings import lower_edition, lower_model, lower_param
from steerdsl.lang.lower.statements import definitions, first_word, head, opening
from steerdsl.lang.lower.steers import finish, lower_steer, main_name
from steerdsl.lang.lower.sweeps import lower_sweep
from steerdsl.lang.lower.tunes import lower_tune
from steerdsl.lang.lower.used import lower_use
from steerdsl.lang.recipe import Op
from steerdsl.lang.source import Span


def lower_block(ctx: Context, statements: Sequence[nodes.Statement]) -> None:
    """Lower every statement; in a used file and in a sweep, refuse those that have no place there."""
    for name in definitions(statements):
        ctx.scope.later.setdefault(name.parts[0], ctx.place(name, "defined here"))
        ctx.scope.taken.add(name.parts[0])
    alone = [i for i, statement in enumerate(statements) if _acts(ctx, statement)]
    if alone and ctx.block != "used":
        ctx.scope.later.setdefault(MAIN, ctx.place(head(statements[alone[-1]])[1], "complete from here on"))
    ops: list[Op] = []
    for i, statement in enumerate(statements):
        ctx.begun = i > 0
        if not _misplaced(ctx, statement):
            if isinstance(statement, nodes.Operation):
                op = lower_op(ctx, statement)
                ops += [op] if op else []
            else:
                LOWER[type(statement)](ctx, statement)
        if alone and i == alone[-1] and ctx.block != "used":
            whole = statements[alone[0]].span.to(statement.span)
            finish(ctx, main_name(statements[alone[0]]), ops, whole, ok=len(ops) == len(alone))


def _acts(ctx: Context, statement: nodes.Statement) -> bool:
    """Whether a statement is an operation outside braces, or was going to be one."""
    if isinstance(statement, nodes.Bad):
        return first_word(ctx.source, statement) in registry.entries("op")
    return isinstance(statement, nodes.Operation)


def _remember(ctx: Context, bad: nodes.Bad) -> None:
    """Keep the name that a broken statement was about to define, so that its uses are not errors."""
    symbols = ctx.scope.symbols
    for name in opening(ctx.source, bad):
        symbols.setdefault(name.text, Symbol(name.text, "unknown", ctx.place(name, "defined here first")))
    if first_word(ctx.source, bad) == "extract" and not ctx.scope.unbound:
        place = Label(ctx.source, bad.span, "the first one")
        implied = ctx.scope.fresh(VECTOR_NAME)
        symbols[implied] = Symbol(implied, "unknown", place)
        ctx.scope.unbound.append((implied, place))


LOWER: Mapping[type[nodes.Statement], Callable[[Context, Any], None]] = {
    nodes.Edition: lower_edition,
    nodes.Use: partial(lower_use, lower_block=lower_block),
    nodes.Param: lower_param,
    nodes.Model: lower_model,
    nodes.Dataset: lower_dataset,
    nodes.Binding: lower_binding,
    nodes.Action: lower_action,
    nodes.Steer: lower_steer,
    nodes.Sweep: partial(lower_sweep, lower_block=lower_block),
    nodes.Tune: partial(lower_tune, lower_block=lower_block),
    nodes.Plot: lower_plot,
    nodes.Check: lower_check,
    nodes.Export: lower_export,
    nodes.Bad: _remember,
}

IN_SWEEP = (nodes.Binding, nodes.Action, nodes.Operation, nodes.Steer, nodes.Check, nodes.Bad)
IN_TUNE = (nodes.Binding, nodes.Action, nodes.Operation, nodes.Steer, nodes.Bad)
IN_USED = (nodes.Edition, nodes.Use, nodes.Param, nodes.Model, nodes.Dataset, nodes.Binding, nodes.Steer, nodes.Bad)
RESULTS = ("generate", "evaluate", "read")


def _misplaced(ctx: Context, statement: nodes.Statement) -> bool:
    """Report a statement that has no place in this block."""
    word, place = head(statement)
    if _misplaced_search(ctx, statement, word, place):
        return True
    if ctx.block == "sweep" and isinstance(statement, nodes.Sweep):
        help = "join the axes: `sweep angle over … and depth over … { … }`"
        ctx.error("S411", "a sweep cannot contain another sweep", place, help=help)
        return True
    if ctx.block == "sweep" and (not isinstance(statement, IN_SWEEP) or word == "read"):
        ctx.error("S415", f"`{word}` has no place in a sweep", place, help="move it out of the sweep")
        return True
    if ctx.block == "used" and (not isinstance(statement, IN_USED) or word in RESULTS):
        help = "a used file holds params, the model, data sets, vectors, planes, choices and steers"
        ctx.error("S218", f"`{word}` has no place in a file that is used", place, help=help)
        return True
    if isinstance(statement, nodes.Use) and isinstance(statement.what, nodes.Name):
        help = f"write `steer both {{ use {statement.what.text} }}`; a file is used by its path, in quotes"
        ctx.error("S415", "a steer is used inside a steer", statement.what, help=help)
        return True
    return False


def _misplaced_search(ctx: Context, statement: nodes.Statement, word: str, place: Span) -> bool:
    """Report a statement that has no place in a search, and what has its place in one only."""
    if isinstance(statement, nodes.Goal):
        help = "move it into the block of a `tune`"
        ctx.error("S462", f"`{word}` says what a search is for, and stands in its block", place, help=help)
        return True
    inner, outer = isinstance(statement, nodes.Sweep), ctx.block
    if inner and outer in ("sweep", "tune") and (outer == "tune" or isinstance(statement, nodes.Tune)):
        join = f"join the axes: `{outer} depth over … and strength over … {{ … }}`"
        help = join if word == outer else f"write the {word} after the {outer}, on its own"
        ctx.error("S460", f"a {outer} cannot contain a {word}", place, help=help)
        return True
    if outer == "tune" and not isinstance(statement, IN_TUNE):
        ctx.error("S461", f"`{word}` has no place in a tune", place, help="move it out of the tune")
        return True
    return False
