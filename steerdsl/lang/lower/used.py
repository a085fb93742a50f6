"""`use "common/model.steer"`: names and params of another file.

In: a path, and `read`, which gives the text of a file in the recipe's folder. Out: the file's names
in the scope and its steps in place of the statement. A file that is used twice is read once.
"""

from __future__ import annotations

import posixpath
from dataclasses import fields, replace
from typing import Any

from steerdsl.lang import nodes
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.paths import inside
from steerdsl.lang.lower.sweeps import LowerBlock
from steerdsl.lang.nodes import Text
from steerdsl.lang.parse import parse
from steerdsl.lang.recipe import Spanned
from steerdsl.lang.source import Source, Span

DEEPEST = 50  # files: each is lowered inside the one that uses it


def lower_use(ctx: Context, node: nodes.Use, lower_block: LowerBlock) -> None:
    if not isinstance(node.what, Text):
        return
    shared = ctx.shared
    path = inside(ctx, node.what)
    if path is None or path in shared.done:
        return
    if path in shared.reading:
        circle = " → ".join((*shared.reading[shared.reading.index(path) :], path))
        help = "move what both files need into a third one"
        ctx.error("S217", f"`{path}` uses itself", node.what, circle, help=help)
        return
    if len(shared.reading) > DEEPEST:
        help = "let the recipe itself `use` the files, one after another"
        ctx.error("S320", f"files use each other more than {DEEPEST} deep", node.what, help=help)
        return
    source = _read(ctx, node.what, path)
    if source is None:
        return
    shared.reading.append(path)
    file, report = parse(source)
    shared.add(*report.found)
    shared.sources.append(source)
    known, declared = set(ctx.scope.symbols), set(shared.data)
    late, folder = ctx.late or bool(ctx.steps), posixpath.dirname(path)
    inner = Context(source, shared, ctx.scope, folder=folder, block="used", late=late, around=ctx.before)
    lower_block(inner, file.statements)
    ctx.steps += relocated(inner.steps, node.span)
    for name in shared.data.keys() - declared:
        shared.data[name] = relocated(shared.data[name], node.span)
    for name in ctx.scope.symbols.keys() - known:
        symbol = ctx.scope.symbols[name]
        ctx.scope.symbols[name] = replace(symbol, value=relocated(symbol.value, node.span))
    shared.reading.pop()
    shared.done.add(path)


def _read(ctx: Context, what: Text, path: str) -> Source | None:
    if ctx.shared.read is None:
        ctx.error("S219", "this recipe has no folder to read other files from", what, help="put it into a file")
        return None
    try:
        return ctx.shared.read(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not text"
        help = f"name a file next to this one; `{path}` is looked for in the recipe's folder"
        ctx.error("S219", f"`{path}` cannot be read", what, reason.lower(), help=help)
        return None


def relocated(value: Any, span: Span) -> Any:
    """Steps of another file, placed at the `use` that brought them: a span means this file's text."""
    if isinstance(value, tuple | list):
        return type(value)(relocated(item, span) for item in value)
    if isinstance(value, dict):
        return {key: relocated(item, span) for key, item in value.items()}
    if not isinstance(value, Spanned):
        return value
    parts = {f.name: relocated(getattr(value, f.name), span) for f in fields(value) if f.name != "span"}
    return replace(value, span=span, **parts)
