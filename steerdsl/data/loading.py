"""From a `dataset` statement to its rows.

In: a checked `DataSpec`, the recipe's folder and the folders that the user allows. Out: `Data`, or
a RecipeError with one diagnostic for each kind of fault in the file.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from steerdsl.data import files, formats, hub_data, roles, split
from steerdsl.data.faults import Fault, diagnostics
from steerdsl.data.trait import read_trait
from steerdsl.data.types import Data, DataRow, RawRow, RawTable
from steerdsl.lang.diagnostics import Exit, RecipeError, nearest
from steerdsl.lang.recipe import DataSpec
from steerdsl.lang.source import Source
from steerdsl.registry import entries

Instructions = tuple[tuple[str, tuple[str, ...]], ...]  # system prompts, by side


def load(
    spec: DataSpec,
    *,
    root: Path,
    allowed: tuple[Path, ...] = (),
    offline: bool = False,
    source: Source | None = None,
) -> Data:
    """Read a data set.

    `root` is the recipe's folder; with `offline` the hub's cache is used and no network. `source` is
    the text that `spec.span` points into. Raises RecipeError D501-D510, D512, D514-D516, D530, D540-D546, D552,
    D553; repeated rows are a warning of the result.
    """
    path, table, digest, faults, instructions = _read(spec, root, allowed, offline)
    fields, rows = spec.fields, list[DataRow]()
    if table.records and not faults:
        fields, rows, faults = roles.assign(table, spec.fields, spec.where, spec.sides, spec.classes)
    if rows and spec.take is not None and spec.take > len(rows):
        faults = [*faults, _too_few(spec.take, len(rows), table.name)]
    found = diagnostics(faults, spec.span, source)
    errors = [item for item in found if item.severity == "error"]
    if errors:
        raise RecipeError(errors, Exit.FAILED if any(e.code == "D516" for e in errors) else Exit.INVALID)
    kept = tuple(rows) if spec.take is None else split.sample(rows, spec.take, spec.seed)
    every = () if spec.take is None else tuple(rows)
    return Data(replace(spec, fields=fields), kept, digest, path, found, every, instructions=instructions)


def _read(
    spec: DataSpec, root: Path, allowed: tuple[Path, ...], offline: bool
) -> tuple[Path | None, RawTable, str, list[Fault], Instructions]:
    """The path, records, SHA-256 and faults of what the statement names, and the instructions of a trait file."""
    nothing = RawTable(spec.source, ())
    if spec.kind == "inline":
        records = tuple(RawRow(number, {"prompt": text}) for number, text in enumerate(spec.texts, 1))
        table = RawTable(spec.name, records, "text")
        return None, table, hub_data.digest(table), [], ()
    if spec.kind == "hub":
        table, faults = hub_data.fetch(spec, offline)
        return None, table, hub_data.digest(table), faults, ()
    path = _builtin(spec.source) if spec.kind == "builtin" else files.find(spec.source, root, allowed)
    if isinstance(path, Fault):
        return None, nothing, "", [path], ()
    raw = files.read(path, spec.source)
    if isinstance(raw, Fault):
        return path, nothing, "", [raw], ()
    name = path.name if spec.kind == "builtin" else spec.source
    if spec.form == "trait":
        trait = read_trait(raw, name)
        if isinstance(trait, list):
            return path, nothing, "", trait, ()
        return path, trait.table(name), sha256(raw).hexdigest(), [], trait.instructions
    table, faults = formats.parse(raw, name, spec.columns)
    return path, table, sha256(raw).hexdigest(), faults, ()


def _builtin(name: str) -> Path | Fault:
    known = entries("data")
    if name in known:
        path: Path = known[name].run()
        return path
    near = nearest(name, known)
    help = f"did you mean `{near}`?" if near else f"built in are {', '.join(known)}"
    return Fault("D501", f"there is no built-in data set {name}", help)


def _too_few(take: int, count: int, name: str) -> Fault:
    title = f"`take: {take}` asks for more rows than {name} has: {count}"
    return Fault("D512", title, f"write `take: {count}`, or leave it out to use every row")
