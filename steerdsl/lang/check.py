"""Checking: from the text of a recipe to the recipe that a plan is made of.

In: a source, `--set` overrides, a reader for the files that it uses. Out: the recipe, None when
there is any error, and every diagnostic of the file: syntax first found, then meaning.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, Report
from steerdsl.lang.lower import data, layers, planes, vectors
from steerdsl.lang.lower.block import lower_block
from steerdsl.lang.lower.context import Context, Shared
from steerdsl.lang.lower.defaults import complete, warn_unused
from steerdsl.lang.lower.settings import EDITION, unknown_overrides
from steerdsl.lang.nodes import Expr
from steerdsl.lang.parse import parse
from steerdsl.lang.recipe import ModelSpec, Recipe
from steerdsl.lang.source import Source, Span

NO_OVERRIDES: Mapping[str, str] = {}

# What an option may name that has options itself.
READERS: Mapping[str, Callable[[Context, Expr], Any]] = MappingProxyType(
    {
        "vector": vectors.vector,
        "plane": planes.plane,
        "layers": lambda ctx, expr: layers.layers(ctx, (expr,), expr),
        "data": lambda ctx, expr: data.reference(ctx, expr, "fit"),
    }
)


@dataclass(frozen=True, slots=True)
class Checked:
    """A recipe without errors. `root` is the folder that its paths start from, `used` the files that it uses, by
    their path from there."""

    recipe: Recipe
    source: Source
    root: Path
    used: tuple[str, ...] = ()


def check_source(
    source: Source,
    *,
    overrides: Mapping[str, str] = NO_OVERRIDES,
    read: Callable[[str], Source] | None = None,
    folders: Sequence[str] = (),
) -> tuple[Recipe | None, Report]:
    """Parse and lower `source`.

    overrides: values of params by name, as typed after `--set`. read: gives the source of a `use`d
    file by its path from the recipe's folder, OSError when there is none; None refuses `use`.
    folders: absolute folders that the recipe may name besides its own.
    """
    file, report = parse(source)
    shared = Shared(overrides, read, folders, sources=[source], reading=[posixpath.basename(source.name)])
    shared.readers = READERS
    shared.add(*report.found)
    ctx = Context(source, shared)
    lower_block(ctx, file.statements)
    unknown_overrides(shared)
    if not file.statements:
        help = "write one, such as `extract diffmean from econ vs generic; ablate layers 6,16,22`"
        ctx.error("S440", "this recipe has no statement", Span(0, 1), help=help)
    steps = complete(ctx) if not ctx.errors else ()
    if not ctx.errors:
        warn_unused(ctx, steps)
    report = Report(source, sorted(shared.found, key=lambda d: _order(shared, d)))
    if report.errors:
        return None, report
    model = shared.model[0] if shared.model else ModelSpec()
    edition = shared.edition[0] if shared.edition else EDITION
    return Recipe(edition, model, shared.data, steps, shared.params), report


def _order(shared: Shared, diagnostic: Diagnostic) -> tuple[int, int, int]:
    """By file, as they were opened, then by place; what has no place comes last."""
    if not diagnostic.labels:
        return len(shared.sources), 0, 0
    label = diagnostic.labels[0]
    return shared.sources.index(label.source), label.span.start, label.span.end
