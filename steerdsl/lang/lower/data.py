"""Data sets: their declaration, and which part of one a step sees.

In: `dataset` statements and names such as `econ.held_out`. Out: `DataSpec`s and `DataRef`s. A
reference without a part is settled at the end of the recipe, when it is known what was fitted on.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.grammar import SIDES
from steerdsl.lang.lower.clauses import sort_clauses
from steerdsl.lang.lower.context import Context, Fit
from steerdsl.lang.lower.inline_prompts import FILES, OTHER_FILES, PROMPTS, inline, texts
from steerdsl.lang.lower.names import define, find, part_span
from steerdsl.lang.lower.options import options
from steerdsl.lang.lower.paths import ending, inside
from steerdsl.lang.lower.phrases import either, listed
from steerdsl.lang.lower.row_filters import filtered
from steerdsl.lang.lower.values import constant, label
from steerdsl.lang.nodes import NOWHERE, Name, Text
from steerdsl.lang.recipe import DataRef, DataSpec, Split
from steerdsl.lang.vocabulary import DATASET
from steerdsl.registry import entries

SPLITS: tuple[Split, ...] = ("train", "held_out", "tune", "all")
ASIDE = 0.3  # of the training rows, for a search, where the data set says nothing else
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

KINDS = {"builtin": "a built-in data set", "file": "a file", "hub": "a data set of the hub", "inline": "a list"}
ROLES = {"field": "prompt", "positive": "positive", "negative": "negative", "answer": "answer", "choices": "choices"}
TABLES = (".csv", ".tsv")
OF_HUB = ("subset", "split", "revision")
FITTED = "fitted on it"
ASKED = "asked for"


def lower_dataset(ctx: Context, node: nodes.Dataset) -> None:
    """Declare a data set; its name is known afterwards even when something about it is wrong."""
    base = _source(ctx, node)
    clauses = sort_clauses(ctx, "dataset", node.clauses)
    items = clauses.given
    given = options(ctx, items, DATASET, "dataset", node)
    for item in items:
        if isinstance(item, nodes.Option) and base and (whose := _not_of(item.key, base)):
            title, help = f"`{item.key}` is for {whose}", f"leave out `{item.key}`"
            ctx.error("S404", title, item.key_span, f"`{node.name.text}` is {KINDS[base.kind]}", help=help)
    base = filtered(ctx, base, clauses) if base else None
    spec = _declared(ctx, node, base, given) if base else None
    if define(ctx, node.name, "data", spec) and spec is not None:
        ctx.shared.data[spec.name] = spec


def _not_of(option: str, base: DataSpec) -> str:
    """Which data sets an option is for, where `base` is none of them; else ""."""
    if option in OF_HUB and base.kind != "hub":
        return "data sets of the hub"
    if option == "form" and not (base.kind == "file" and ending(base.source) == ".json"):
        return "files that end in `.json`"
    if option == "columns" and not (base.kind == "file" and ending(base.source) in TABLES):
        return "files that end in `.csv` or `.tsv`"
    return "data sets with fields" if option in ROLES and base.kind == "inline" else ""


def _source(ctx: Context, node: nodes.Dataset) -> DataSpec | None:
    name, source = node.name.text, node.source
    if isinstance(source, nodes.List):
        own = texts(ctx, source)
        return None if own is None else DataSpec(name, "inline", PROMPTS, texts=own, span=node.span)
    if isinstance(source, Name):
        value = constant(ctx, source)
        if not isinstance(value, Text) and "." + source.parts[-1] in (*FILES, *OTHER_FILES):
            ctx.error("S126", "put paths and model ids in double quotes", source, help=f'write `"{source.text}"`')
            return None
        if not isinstance(value, Text):
            spec = known(ctx, source)
            if spec and spec.questions is not None:
                help = f"use `{spec.name}` by its name; how it is split is said of `{spec.questions}`"
                ctx.error("S354", f"`{spec.name}` is made of answers, and has no other name", source, help=help)
                return None
            return replace(spec, name=name, span=node.span) if spec else None
        source = value
    text = source.value
    if ending(text) in FILES:
        path = inside(ctx, source)
        return DataSpec(name, "file", path, span=node.span) if path else None
    if HUB_ID.fullmatch(text) and ending(text) not in OTHER_FILES:
        return DataSpec(name, "hub", text, span=node.span)
    if text in entries("data"):
        help = f"write `{text}` without quotes for the built-in data set"
    elif "/" in text or ending(text):
        help = f"a data file ends in {either(FILES)}"
    else:
        help = 'write a file, as in `"econ.jsonl"`, or a hub data set, as in `"org/name"`'
    ctx.error("S315", f"`{text}` is neither a data file nor a hub data set", source, help=help)
    return None


def _declared(ctx: Context, node: nodes.Dataset, base: DataSpec, given: dict[str, Any]) -> DataSpec | None:
    fields = {**base.fields, **{ROLES[key]: value for key, value in given.items() if key in ROLES}}
    if ("positive" in fields) != ("negative" in fields):
        there, missing = SIDES if "positive" in fields else SIDES[::-1]
        help = f'add `{missing}: "…"`'
        ctx.error("S406", f"pairs need `{missing}` too", node.name, f"only `{there}` is given", help=help)
        return None
    lacking = [role for role in ("answer", "choices") if role not in fields]
    if base.sides and "positive" in fields:
        title = "two sides are fields of each row, or rows of their own, and not both"
        ctx.error("S443", title, node.name, help="leave out `positive:` and `negative:`, or the `where` of the sides")
        return None
    if "answer_form" in given and lacking:
        title = f"`answer_form` says how an answer names one of the choices, and there is no {either(lacking)}"
        help = "add " + " and ".join(f'`{role}: "…"`' for role in lacking)
        ctx.error("S426", title, node.name, help=help)
        return None
    return replace(
        base,
        fields=fields,
        take=given.get("take", base.take),
        seed=given.get("seed", base.seed),
        held_out=given.get("held_out", base.held_out),
        subset=given.get("subset", base.subset),
        hub_split=given.get("split", base.hub_split),
        unsafe=given.get("unsafe", base.unsafe),
        answer_form=given.get("answer_form", base.answer_form),
        revision=given.get("revision", base.revision),
        form=given.get("form", base.form),
        columns=_listed(given.get("columns", base.columns)),
        tune=given.get("tune", base.tune),
    )


def _listed(words: str | tuple[str, ...]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else words


def known(ctx: Context, name: Name) -> DataSpec | None:
    """The data set of a name's first part: declared above, or built in. None when there is none
    (reported) or when its declaration was bad (reported there)."""
    first = name.parts[0]
    if first not in ctx.scope.symbols and first in entries("data"):
        return ctx.shared.data.setdefault(first, DataSpec(first, "builtin", first))
    symbol = find(ctx, name, "data", words=entries("data"))
    return symbol.value if symbol and symbol.kind == "data" else None


def reference(ctx: Context, expr: nodes.Expr, use: Literal["fit", "see"]) -> DataRef | None:
    """A data set as a step names it. To fit on, the part is `train` unless said; to see, it stays
    open (`reason` empty) until `settle`."""
    value, called = _put_in(ctx, expr)
    if value is None:
        return None
    if isinstance(value, Text | nodes.List):
        ref = inline(ctx, value)
        return ref and replace(ref, called=called)
    if not isinstance(value, Name):
        help = "name a data set, as in `econ` or `econ.held_out`"
        ctx.error("S302", "a data set is wanted here", expr, label(expr, value), help=help)
        return None
    spec = known(ctx, value)
    parts = _parts(ctx, value)
    if spec is None or parts is None:
        return None
    side, split = parts
    if side and not spec.two_sided:
        help = f'declare it with `positive: "…", negative: "…"`, or write `{spec.name}` alone'
        ctx.error("S213", f"`{spec.name}` has no `{side}` side", value, help=help)
        return None
    if split == "held_out" and not spec.held_out:
        help = f"give `{spec.name}` a `held_out:` share, or write `{spec.name}.all`"
        ctx.error("S425", f"`{spec.name}` holds nothing out", value, help=help)
        return None
    if split is None:
        split, reason = ("train", "directions and layers see `train`") if use == "fit" else ("all", "")
    else:
        reason = ASKED
    return DataRef(spec.name, split, side, reason, called, span=expr.span)


def _put_in(ctx: Context, expr: nodes.Expr) -> tuple[nodes.Expr | None, str]:
    """The expression with the data set put in that a param or an axis names (`behavior.held_out` too), and the axis
    where it is one."""
    symbol = ctx.scope.symbols.get(expr.parts[0]) if isinstance(expr, Name) else None
    called = symbol.name if symbol is not None and symbol.kind == "axis" else ""
    held = symbol.value if symbol is not None and symbol.kind in ("param", "axis") else None
    if isinstance(expr, Name) and len(expr.parts) > 1 and symbol and isinstance(held, Name):
        ctx.scope.used.add(symbol.name)
        return Name((*held.parts, *expr.parts[1:]), span=expr.span), called
    return constant(ctx, expr), called


def _parts(ctx: Context, name: Name) -> tuple[str | None, Any] | None:
    side: str | None = None
    split: str | None = None
    for place, part in enumerate(name.parts[1:], 1):
        if part in SIDES and side is None:
            side = part
        elif part in SPLITS and split is None:
            split = part
        else:
            close = nearest(part, (*SPLITS, *SIDES))
            help = f"did you mean `{close}`?" if close else f"write {either((*SPLITS, *SIDES))}"
            if close == part:
                help = f"write one of them: `{name.parts[0]}.{part}`"
            title = f"a data set has no {'second ' if close == part else ''}part `{part}`"
            ctx.error("S213", title, part_span(name, place), help=help)
            return None
    return side, split


def fit(ctx: Context, ref: DataRef, by: str) -> None:
    """Remember that `by` was fitted on a part of a data set; what is fitted on answers is fitted on their questions."""
    spec = ctx.shared.data[ref.name]
    parts = ctx.shared.fits.setdefault(_source_of(spec), {})
    parts.setdefault((ref.name, ref.split), Fit(spec, ref.split)).by[by] = None
    if spec.questions is not None:
        fit(ctx, replace(ref, name=spec.questions, side=None), by)
        return
    span = NOWHERE if ctx.block == "used" else ref.span
    ctx.shared.fitted.setdefault(ref.name, DataRef(ref.name, "all", called=ref.called, span=span))


def set_aside(ctx: Context, ref: DataRef, by: str) -> DataRef:
    """The part of a data set that the search `by` looks at: it is taken from the training rows."""
    spec = ctx.shared.data[ref.name]
    ctx.shared.data[ref.name] = spec = replace(spec, tune=spec.tune or ASIDE)
    if spec.questions is not None:  # an answer is in the part of its question
        ctx.shared.data[spec.questions] = replace(ctx.shared.data[spec.questions], tune=spec.tune)
    ref = replace(ref, split="tune", reason="set aside for the search")
    fit(ctx, ref, by)
    return ref


def settle(ctx: Context, ref: DataRef, warn: bool, own: str = "") -> DataRef:
    """Fill in the part of a reference that named none, and warn of rows that were fitted on by others than `own`."""
    if ref.split == "tune" and not ctx.shared.data[ref.name].tune:
        help = f"write `{ref.name}.train`; a `tune` that evaluates on `{ref.name}` sets rows aside"
        ctx.error("S469", f"`{ref.name}` sets no rows aside for a search", ref.span, help=help)
    spec = ctx.shared.data[ref.name]
    fits = ctx.shared.fits.get(_source_of(spec), {}).values()
    if not ref.reason:
        if not fits:
            return replace(ref, reason="nothing was fitted on it")
        if spec.held_out:
            ref = replace(ref, split="held_out", reason=FITTED)
        else:
            ref = replace(ref, reason="fitted on it, and nothing is held out")
    seen = [done for done in fits if {*done.by} != {own} and not _apart(done, spec, ref.split)] if warn else []
    if seen:
        by = list(dict.fromkeys(name for done in seen for name in done.by))
        title = f"`{ref.name}.{ref.split}` holds rows that {listed(by)} {'was' if len(by) == 1 else 'were'} fitted on"
        ctx.warn("S450", title, ref.span, help=_keep_apart(seen, spec, ref))
    return ref


def _source_of(spec: DataSpec) -> tuple[Any, ...]:
    """What two declarations of the same rows have in common."""
    if spec.questions is not None:
        return spec.kind, spec.name
    return spec.kind, spec.source, spec.subset, spec.hub_split, spec.revision, spec.where, spec.texts


def _apart(done: Fit, spec: DataSpec, split: Split) -> bool:
    """Whether a part of one source shares no row with what was fitted on. A row is held out when the
    hash of its text and the seed is below the share, so that of two shares one holds the other."""
    alike = done.spec.seed == spec.seed and done.spec.fields == spec.fields
    match done.split, split:
        case "train" | "tune", "held_out":
            return alike and spec.held_out <= done.spec.held_out
        case "held_out", "train" | "tune":
            return alike and done.spec.held_out <= spec.held_out
        case ("train", "tune") | ("tune", "train"):
            return done.spec.name == spec.name
        case _:
            return False


def _keep_apart(seen: list[Fit], spec: DataSpec, ref: DataRef) -> str:
    if any(done.split != "train" for done in seen):
        return f"fit on `{ref.name}.train`, and score on `{ref.name}.held_out`"
    if not spec.held_out:
        return f"give `{ref.name}` a `held_out:` share"
    if ref.split == "held_out":
        return f"give `{ref.name}` the fields, the seed and the share of `{seen[0].spec.name}`"
    return f"write `{ref.name}.held_out`"
