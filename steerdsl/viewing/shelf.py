"""What a page of runs shows: the runs, packs and recipes that were named, and the runs in folders that were.

In: places. Out: items by their names, looked for again at each request, so that a run that ends appears. A request
names an item and never a path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError, render
from steerdsl.measure.verdict import outcome
from steerdsl.share.pack_inputs import in_pack, run_folder
from steerdsl.store.finished_run import Finished, open_run

RUNS = Path("runs")  # where `steerdsl run` leaves them
RECIPE = ".steer"
READ = ("record.json", "scores.json", "generations.jsonl")
KEPT = 4  # runs that are held in memory
Kind = Literal["run", "recipe"]
Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class ShelfItem:
    """Something that has a page. `place` is a run directory or a recipe, `source` what opens its steers."""

    name: str
    kind: Kind
    place: Path
    source: Path

    @property
    def stamp(self) -> Stamp:
        """Changes when what the item is made of does."""
        return _stamp(self.place)


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in a line; `wrong` says why it cannot be read."""

    state: str = ""
    recipe: str = ""
    model: str = ""
    started: str = ""
    seconds: float | None = None
    steers: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    wrong: str = ""


class Shelf:
    """All items. Raises RecipeError R910 for a place that has nothing to show."""

    def __init__(self, places: Sequence[Path] = ()) -> None:
        self.folders: list[Path] = []
        self._named: list[tuple[Kind, Path, Path]] = []
        for place in places:
            self._add(place)
        if not places:
            self.folders.append(RUNS)
        self._runs: dict[Path, tuple[Stamp, Finished]] = {}
        self._summaries: dict[Path, tuple[Stamp, Summary]] = {}
        self._lock = Lock()

    def items(self) -> Mapping[str, ShelfItem]:
        """Everything there is by its name, what was named first, then the newest runs."""
        found: dict[str, ShelfItem] = {}
        for kind, place, source in (*self._named, *self._in_folders()):
            stem = source.name.removesuffix(".steerpack") or "run"
            name, number = stem, 2
            while name in found:
                name, number = f"{stem}~{number}", number + 1
            found[name] = ShelfItem(name, kind, place, source)
        return found

    def open(self, item: ShelfItem) -> Finished:
        """A run as it is on the disk now. Raises RecipeError as `open_run`."""
        stamp = _stamp(item.place)
        with self._lock:
            kept = self._runs.pop(item.place, None)
            run = kept[1] if kept and kept[0] == stamp else open_run(item.place, whole=False)
            self._runs[item.place] = (stamp, run)
            while len(self._runs) > KEPT:
                del self._runs[next(iter(self._runs))]
        return run

    def summary(self, item: ShelfItem) -> Summary:
        """A run in a line; of one that cannot be read, why."""
        stamp = _stamp(item.place)
        kept = self._summaries.get(item.place)
        if kept is None or kept[0] != stamp:
            kept = self._summaries[item.place] = (stamp, _summary(item.place))
        return kept[1]

    def _add(self, place: Path) -> None:
        if (place / "record.json").is_file():
            self._named.append(("run", place, place))
        elif place.is_dir():
            self.folders.append(place)
        elif in_pack(place) and place.is_file():
            self._named.append(("run", run_folder(place), place))
        elif place.is_file() and place.suffix == RECIPE:
            self._named.append(("recipe", place, place))
        else:
            raise RecipeError([_nothing(place)], Exit.USAGE)

    def _in_folders(self) -> Iterator[tuple[Kind, Path, Path]]:
        for folder in self.folders:
            runs = [record.parent for record in folder.glob("*/record.json")]
            yield from (("run", run, run) for run in sorted(runs, key=_age))


def _age(run: Path) -> tuple[float, str]:
    try:
        return -(run / "record.json").stat().st_mtime, run.name
    except OSError:  # gone meanwhile
        return 0.0, run.name


def _stamp(place: Path) -> Stamp:
    """Changes when a recipe does, or a file of a run."""
    found = []
    for path in (place / name for name in READ) if place.is_dir() else (place,):
        try:
            about = os.stat(path)
            found.append((about.st_mtime_ns, about.st_size))
        except OSError:
            found.append((0, -1))
    return tuple(found)


def _summary(folder: Path) -> Summary:
    try:
        run = open_run(folder, whole=False)
    except RecipeError as error:
        return Summary(wrong="".join(map(render, error.diagnostics)))
    record = run.record
    facts = (run.state, record["recipe"]["name"], record["model"]["id"], record["started"], record["seconds"])
    return Summary(*facts, tuple(run.steers), tuple(outcome(check) for check in run.checks))


def _nothing(place: Path) -> Diagnostic:
    if not place.exists():
        help = "name a run directory, a folder of runs, a pack or a recipe"
        return Diagnostic("R910", f"there is no {place}", help=help)
    title = f"{place} is not something to view: it is neither a run, a pack nor a recipe"
    kinds = f"a pack ends in .steerpack, a recipe in {RECIPE}"
    return Diagnostic("R910", title, help=f"name a run directory, a folder of runs, a pack or a recipe; {kinds}")
