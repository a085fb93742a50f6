"""`plot`, `export` and `load`: what leaves a recipe and what comes into it as a file.

In: the statements. Out: `Plot`, `Export` and `Load` steps with their paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.lower import values
from steerdsl.lang.lower.claims import score_path
from steerdsl.lang.lower.clauses import Clauses, sort_clauses
from steerdsl.lang.lower.context import Context, Symbol, SymbolKind
from steerdsl.lang.lower.extraction import at_position
from steerdsl.lang.lower.names import defined, find
from steerdsl.lang.lower.options import options, split_options
from steerdsl.lang.lower.paths import ending, inside, output
from steerdsl.lang.lower.phrases import either, listed
from steerdsl.lang.lower.values import DEGREES
from steerdsl.lang.lower.words import entry
from steerdsl.lang.nodes import Name, Quantity, Text
from steerdsl.lang.recipe import Export, Load, Plot, Read
from steerdsl.registry import Entry

PathReader = Callable[[Context, Text], str | None]

PICTURES = (".png", ".svg")
# What `export` and `load` take; `formats.table` has a row for each ending. A steer with another ending,
# or none, becomes the folder of a checkpoint.
EXPORTED: Mapping[str, tuple[str, ...]] = {
    "vector": (".safetensors", ".gguf", ".pt"),
    "plane": (".safetensors",),
    "steer": (".gguf", ".pt", ".peft"),
}
LOADED = (".safetensors", ".gguf", ".pt")
MOST_AXES = 2  # of a sweep, in one picture
TENSORS = ".pt"  # the ending of a file that may not say what it holds
TARGETS: Mapping[str, tuple[SymbolKind, ...]] = {
    **{"vector": ("vector",), "plane": ("plane",), "layers": ("choice",), "search": ("tune",)}
}


def lower_plot(ctx: Context, node: nodes.Plot) -> None:
    errors = ctx.errors
    clauses = sort_clauses(ctx, "plot", node.clauses)
    symbol, what, targets, chosen = _subject(ctx, node, clauses)
    over = _over(ctx, clauses, symbol) if symbol else ()
    if symbol and symbol.kind == "scores" and ctx.errors == errors:
        _require_few(ctx, clauses.found.get("over", node.what), over or tuple(symbol.axes))
    if symbol and "polar" in clauses:
        _check_polar(ctx, clauses, symbol, over)
    path = _path(ctx, clauses.amount("to"), "a picture", PICTURES, output) if "to" in clauses else None
    if symbol is not None and ctx.errors == errors:
        target, *others = targets
        polar = "polar" in clauses
        ctx.steps.append(Plot(what, target, over, polar, path, chosen, tuple(others), span=node.span))


def _subject(ctx: Context, node: nodes.Plot, clauses: Clauses) -> tuple[Symbol | None, str, list[str], dict[str, Any]]:
    """What is plotted: the first symbol, the plot's name, its targets as paths, its options."""
    given = clauses.given
    if isinstance(node.what, Name):
        scores = next(entry for entry in registry.entries("plot").values() if entry.args[0].type == "score")
        chosen = options(ctx, given, scores.args[1:], "plot", node)
        symbol = score_path(ctx, node.what)
        if symbol is not None and isinstance(symbol.value, Read):
            help = "leave it out: tables and the report show a reading's figures"
            ctx.error("S421", "a reading is no sweep, over which a score is plotted", node.what, help=help)
            return None, "", [], {}
        return symbol, scores.name, [node.what.text], chosen
    if not isinstance(node.what, nodes.Call):
        help = "write `plot pca(topic)` or a score, as in `plot scores.bleu over angle`"
        ctx.error("S421", "there is nothing to plot here", node.what, values.sort_of(node.what), help=help)
        return None, "", [], {}
    call = node.what
    found = entry(ctx, "plot", call.name, call.name_span)
    if found is None:
        return None, "", [], {}
    inner, args = split_options(call.args)
    chosen = options(ctx, (*inner, *given), found.args[1:], found.name, call)
    symbols = _targets(ctx, call, found, args)
    return symbols[0] if symbols else None, found.name, [symbol.name for symbol in symbols], chosen


def _targets(ctx: Context, call: nodes.Call, found: Entry, args: list[nodes.Expr]) -> list[Symbol]:
    """What a plot draws, in the order named; none after a message."""
    if found.args[0].type == "score":
        help = "write the score itself, as in `plot scores.bleu over angle`"
        ctx.error("S314", "a score is plotted by its path", call, help=help)
        return []
    names = [arg for arg in args if isinstance(arg, Name)]
    if len(names) != len(args) or not names or (len(names) > 1 and not found.args[0].many):
        help = f"write `{found.name}({'best' if found.args[0].type in ('layers', 'search') else 'topic'})`"
        ctx.error("S314", f"`{found.name}` takes {'names' if found.args[0].many else 'one name'}", call, help=help)
        return []
    symbols = [find(ctx, name, *TARGETS[found.args[0].type], swept=True) for name in names]
    if any([_one_of_many(ctx, symbol, name) for symbol, name in zip(symbols, names, strict=True) if symbol]):
        return []
    return [symbol for symbol in symbols if symbol is not None] if None not in symbols else []


def _one_of_many(ctx: Context, symbol: Symbol, name: Name) -> bool:
    """Report a name that stands for something else at each word of a sweep: none of them is the one that is meant."""
    if symbol.varies:
        title = f"`{name.text}` is another one at each point of a sweep over words"
        help = "make the one that is meant outside of the sweep"
        ctx.error("S478", title, name, f"swept over {listed(symbol.axes)}", also=(defined(symbol),), help=help)
    return symbol.varies


def _over(ctx: Context, clauses: Clauses, symbol: Symbol) -> tuple[str, ...]:
    clause = clauses.one("over", nodes.Over)
    axes: list[str] = []
    for item in clause.items if clause else ():
        text = values.printed(item)
        if text not in symbol.axes and symbol.kind != "unknown":
            known = (
                f"it is swept over {listed(symbol.axes)}" if symbol.axes else f"bind `{symbol.name}` inside a `sweep`"
            )
            ctx.error("S423", f"`{symbol.name}` is not swept over `{text}`", item, help=known)
        axes.append(text)
    return tuple(axes)


def _require_few(ctx: Context, at: nodes.Node, axes: tuple[str, ...]) -> None:
    """Report axes that one picture cannot show: it has two, and each once."""
    twice = next((axis for place, axis in enumerate(axes) if axis in axes[:place]), None)
    if twice is not None:
        ctx.error("S423", f"`{twice}` is drawn along twice", at, help="keep one of the two")
    elif len(axes) > MOST_AXES:
        help = f"write `over {axes[0]}` or `over {axes[0]}, {axes[1]}`"
        title = f"a plot has {MOST_AXES} axes at most, and this one would have {len(axes)}: {listed(axes)}"
        ctx.error("S423", title, at, help=help)


def _check_polar(ctx: Context, clauses: Clauses, symbol: Symbol, over: tuple[str, ...]) -> None:
    held = [value for axis in over if (value := symbol.axes.get(axis))]
    angles = all(isinstance(value, Quantity) and value.unit in DEGREES for value in held)
    if len(over) != 1 or not angles:
        help = "write `over` and one axis of angles, or leave out `polar`"
        ctx.error("S423", "a polar plot goes around one angle", clauses.found["polar"], help=help)


def _path(
    ctx: Context,
    expr: nodes.Expr | None,
    what: str,
    endings: tuple[str, ...],
    place: PathReader,
) -> str | None:
    """A path with one of these endings, where `place` allows it; None after a message."""
    text = values.text(ctx, expr, "`to`") if expr is not None else None
    if text is None or expr is None:
        return None
    path = place(ctx, Text(text, span=expr.span))
    if path and ending(path) not in endings:
        ctx.error("S315", f"{what} is a {either(endings)} file", expr, help=f'write `"{_stem(path)}{endings[0]}"`')
        return None
    return path


def _stem(path: str) -> str:
    return path.removesuffix(ending(path)).rstrip("/")


def lower_export(ctx: Context, node: nodes.Export) -> None:
    if not isinstance(node.what, Name) or len(node.what.parts) > 1:
        help = "bind it to a name, then export the name"
        ctx.error("S205", "`export` takes a name", node.what, values.sort_of(node.what), help=help)
        return
    symbol = find(ctx, node.what, "vector", "plane", "steer", swept=True)
    if symbol and _one_of_many(ctx, symbol, node.what):
        return
    match symbol.kind if symbol else "unknown":
        case "vector" | "plane" as kind:
            path = _path(ctx, node.path, f"a {kind}", EXPORTED[kind], output)
        case "steer" as kind:
            path = _steer_path(ctx, node.path)
        case _:
            output(ctx, node.path)
            return
    if symbol and path:
        ctx.steps.append(Export(symbol.name, kind, path, span=node.span))


def _steer_path(ctx: Context, written: Text) -> str | None:
    """A file or folder for a steer; an ending that only vectors have is a mistake."""
    path = output(ctx, written)
    if path and ending(path) in set(EXPORTED["vector"]) - set(EXPORTED["steer"]):
        help = f'name a folder, as in `"{_stem(path)}/"`, or a {either(EXPORTED["steer"])} path'
        ctx.error("S315", f"a steer cannot be a {ending(path)} file", written, help=help)
        return None
    return path


def lower_load(ctx: Context, node: nodes.Action, name: str) -> Load | None:
    errors = ctx.errors
    clauses = sort_clauses(ctx, "load", node.clauses)
    place = clauses.one("at", nodes.At)
    position = at_position(ctx, place) if place else None
    path = _path(ctx, node.subject, "a vector", LOADED, inside)
    said = options(ctx, clauses.given, registry.find("statement", "load").args, "load", node.verb_span)
    if path and said and ending(path) != TENSORS:
        title = f"only a `{TENSORS}` file can hold a matrix or several tensors"
        help = f"leave out `with`: a `{ending(path)}` file says itself what its rows are"
        ctx.error("S360", title, clauses.found["with"], help=help)
    if path is None or ctx.errors > errors:
        return None
    return Load(name, path, position, said.get("rows"), said.get("tensor"), span=node.span)
