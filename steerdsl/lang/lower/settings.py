"""What a recipe says of itself: `edition`, `model`, `param`.

In: the statements and the command line's `--set`. Out: the edition, a `ModelSpec`, params in force.
"""

from __future__ import annotations

import re

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import Diagnostic, nearest
from steerdsl.lang.lower import values
from steerdsl.lang.lower.clauses import sort_clauses
from steerdsl.lang.lower.context import Context, Shared
from steerdsl.lang.lower.names import define
from steerdsl.lang.lower.options import options
from steerdsl.lang.lower.phrases import listed
from steerdsl.lang.nodes import Expr, Name, Quantity, Text
from steerdsl.lang.recipe import ModelSpec
from steerdsl.lang.vocabulary import MODEL

EDITION = 1
_QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(%|[A-Za-z_]*)")


def lower_edition(ctx: Context, node: nodes.Edition) -> None:
    place = ctx.place(node, "it is already given here")
    if ctx.shared.edition and ctx.block == "top":
        also = (ctx.shared.edition[1],)
        ctx.error("S408", "a recipe has one `edition`", node, also=also, help="keep the first line")
    elif node.number.value != EDITION or node.number.unit:
        text = values.printed(node.number)
        title = f"this version does not know edition `{text}`"
        ctx.error("S410", title, node.number, help=f"write `edition {EDITION}`")
    elif ctx.begun:
        ctx.error("S409", "`edition` comes too late", node, help="make it the first line")
    if not ctx.shared.edition:
        ctx.shared.edition = (EDITION, place)


def lower_model(ctx: Context, node: nodes.Model) -> None:
    clauses = sort_clauses(ctx, "model", node.clauses)
    chosen = options(ctx, clauses.given, MODEL, "model", node)
    place = ctx.place(node.id, "it is already given here")
    if ctx.shared.model:
        help = "keep one; `--model` on the command line takes another for one run"
        ctx.error("S408", "a recipe has one `model`", node.id, also=(ctx.shared.model[1],), help=help)
        return
    if ctx.steps or ctx.late:
        ctx.error("S409", "`model` comes too late", node.id, help="write it before the first step")
    if not node.id.value.strip():
        ctx.error(
            "S312", "this model has no name", node.id, help='write a hub id or a folder, as in `model "org/name"`'
        )
    ctx.shared.model = (ModelSpec(node.id.value, **chosen, span=node.span), place)


def lower_param(ctx: Context, node: nodes.Param) -> None:
    """Declare a param; a value that is given from outside has the last word."""
    value = values.constant(ctx, node.value)
    name = node.name.text
    if value is not None and not isinstance(value, Quantity | Text | Name):
        values.mismatch(ctx, node.value, value, "a param", "a number, a text or a word", "write a value such as `10%`")
        value = None
    if value is not None and name in ctx.shared.overrides:
        value = _overridden(ctx, node, value, ctx.shared.overrides[name])
    if define(ctx, node.name, "param", value):
        ctx.shared.params[name] = values.printed(value) if value is not None else ""


def _overridden(ctx: Context, node: nodes.Param, default: Expr, text: str) -> Expr | None:
    value = _read(text.strip(), default)
    if value is None or (isinstance(value, Quantity) and not _same_unit(value, default)):
        name = node.name.text
        title = f"the value `{text}` does not fit: `{name}` is {values.sort_of(default)}"
        help = f"give a value such as `{values.printed(default)}`"
        ctx.error("S311", title, node.value, f"{values.printed(default)} here", help=help)
        return None
    return value


def _read(text: str, default: Expr) -> Expr | None:
    """The text of an override as a value of the default's form."""
    if isinstance(default, Text):
        quoted = len(text) > 1 and text[0] == text[-1] == '"'
        return Text(text[1:-1] if quoted else text)
    if isinstance(default, Name):
        return Name((text,)) if re.fullmatch(r"[A-Za-z_]\w*", text) else None
    match = _QUANTITY.fullmatch(text)
    return Quantity(float(match[1]), match[2], match[1]) if match else None


def _same_unit(value: Quantity, default: Expr) -> bool:
    if not isinstance(default, Quantity):
        return False
    angles = (value.unit in values.DEGREES, default.unit in values.DEGREES)
    return all(angles) or value.unit == default.unit


def unknown_overrides(shared: Shared) -> None:
    """Report every value from outside that no param answers to; it has no place in the text."""
    for name in shared.overrides:
        if name not in shared.params:
            close = nearest(name, shared.params)
            known = f"there is {listed(shared.params)}" if shared.params else "this recipe has no params"
            help = f"did you mean `{close}`?" if close else known
            shared.add(Diagnostic("S216", f"there is no param `{name}` to give a value to", help=help))
