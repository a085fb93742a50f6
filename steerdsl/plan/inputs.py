"""The files that a recipe reads, for the record, the lock and the pack.

In: a checked recipe as it was written, before lists of words are put into it. Out: the SHA-256 of
each file by its path from the recipe's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from steerdsl.data import files, load_task
from steerdsl.data.builtin import word_list_names
from steerdsl.lang import recipe as r
from steerdsl.store.results import file_sha256


def input_files(recipe: r.Recipe, used: Iterable[str], root: Path, allowed: tuple[Path, ...] = ()) -> dict[str, str]:
    """Hash what a recipe in folder `root` reads: the files that it uses, its data sets, vectors and
    lists of words, its task files with their rows. What is built in or on the hub is no file of the recipe."""
    names = [*used, *(spec.source for spec in recipe.data.values() if spec.kind == "file"), *_named(recipe.steps)]
    names += [part for name in names if r.is_task_file(name) for part in load_task(name, root, allowed).sha256]
    found = {name: files.find(name, root, allowed) for name in sorted(set(names))}
    return {name: file_sha256(path) for name, path in found.items() if isinstance(path, Path)}


def _named(steps: Sequence[r.Step]) -> Iterator[str]:
    """The files that steps name, those of a sweep's points too."""
    for step in steps:
        match step:
            case r.Load(path=path):
                yield path
            case r.Extract(options={"file": str(path)}):
                yield path
            case r.Evaluate(metrics=metrics):
                words = [call.options.get("words") for call in metrics]
                yield from (w for w in words if isinstance(w, str) and w not in word_list_names())
                yield from (call.options["task"] for call in metrics if r.is_task_file(call.options.get("task", "")))
            case r.Sweep(points=points):
                for point in points:
                    yield from _named(point.steps)
