"""The files that a recipe reads, for `check`, the record, the lock and the pack.

In: a checked recipe as it was written, before lists of words are put into it. Out: what is wrong with
them, or the SHA-256 of each file by its path from the recipe's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steerdsl.data import files, load, load_task
from steerdsl.data.faults import Fault, diagnostics
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.lang.reads import calls, metrics_of
from steerdsl.lang.source import Source, Span
from steerdsl.planning.rubrics import with_rubric
from steerdsl.registry import Entry, find
from steerdsl.store.results import file_sha256

FILE = ("D501", "D502")  # what is said of every file alike


def input_files(recipe: r.Recipe, used: Iterable[str], root: Path, allowed: tuple[Path, ...] = ()) -> dict[str, str]:
    """Hash what a recipe in folder `root` reads: the files that it uses, its data sets, vectors and
    lists of words, its task files with their rows. Built-in data and data on the hub are not files of the recipe."""
    data = [spec.source for spec in recipe.data.values() if spec.kind == "file"]
    names = [*used, *data, *(name for name, _ in _named(recipe.steps))]
    names += [part for name in names if r.is_task_file(name) for part in load_task(name, root, allowed).sha256]
    found = {name: files.find(name, root, allowed) for name in sorted(set(names))}
    return {name: file_sha256(path) for name, path in found.items() if isinstance(path, Path)}


def faults(recipe: r.Recipe, source: Source, root: Path, allowed: tuple[Path, ...] = ()) -> list[Diagnostic]:
    """What is wrong with the files on this machine that a recipe in folder `root` reads: all of it at once.

    Data sets of the hub are left for the plan, and so is what is in a vector's or a task's file.
    """
    found: dict[Diagnostic, None] = {}
    for spec in (spec for spec in recipe.data.values() if spec.questions is None):
        try:
            said = load(spec, root=root, allowed=allowed, source=source).warnings if spec.kind != "hub" else ()
        except RecipeError as error:
            said = error.diagnostics
        found.update(dict.fromkeys(said))
    for name, span in _named(recipe.steps):
        place = files.find(name, root, allowed)
        if isinstance(place, Fault):
            found.update(dict.fromkeys(diagnostics([place], span, source, "this file")))
    alone = [call for step in recipe.steps if isinstance(step, r.AnswerData) for call in metrics_of(step)]
    for call in calls(recipe.steps):
        try:
            with_rubric(call, root, allowed, source, alone=any(call is own for own in alone))
        except RecipeError as error:
            found.update((said, None) for said in error.diagnostics if said.code not in FILE)
    return list(found)


def _named(steps: Sequence[r.Step]) -> Iterator[tuple[str, Span]]:
    """The files that steps name and where, those of a sweep's points too."""
    for step in steps:
        match step:
            case r.Load(path=path):
                yield path, step.span
            case r.Extract(method=method, options=options):
                yield from ((file, step.span) for file in _files(find("extract", method), options))
            case r.Evaluate() | r.AnswerData():
                for call in metrics_of(step):
                    yield from ((file, call.span) for file in _files(find("metric", call.name), call.options))
            case r.Sweep(points=points):
                for point in points:
                    yield from _named(point.steps)


def _files(entry: Entry, options: Mapping[str, Any]) -> Iterator[str]:
    """The files that the arguments of an entry name."""
    yield from (options[arg.name] for arg in entry.args if arg.names_file(options.get(arg.name)))
