"""What a search found: its choice and the range that works, in a line each, and its trials as a table.

In: `searches` of a record. Out: lines for the summary, `Sheet`s for the terminal; the report shows the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from steerdsl.show.numbers import NOTHING, number
from steerdsl.show.sheet import Sheet
from steerdsl.show.sparks import sparkline

BINS = 8  # of an axis of numbers, in a map
KEPT, BROKEN = "yes", "no"
CURVE = ("axis", "goal through the best", "from", "to")


@dataclass(frozen=True, slots=True)
class Cells:
    """The best goal over one axis of numbers, in bins, and one of layers: for each layer a row of cells, each a goal
    and whether it keeps the limits; None where nothing was tried. `edges` are those of the bins."""

    across: str
    up: str
    edges: tuple[float, ...]
    layers: tuple[float, ...]
    rows: tuple[tuple[tuple[float, bool] | None, ...], ...]


def cells(found: Mapping[str, Any], across: str, up: str) -> Cells:
    """A map of a search: in each cell the best trial that keeps the limits, else the best of the others."""
    about, layers = found["axes"][across], sorted({trial["values"][up] for trial in found["trials"]})
    width = (about["high"] - about["low"]) / BINS
    made: dict[tuple[float, int], list[tuple[float, bool]]] = {}
    for trial in found["trials"]:
        if trial["goal"] is not None:
            place = min(max(int((trial["values"][across] - about["low"]) / width), 0), BINS - 1)
            made.setdefault((trial["values"][up], place), []).append((trial["goal"], trial["feasible"]))
    sign = -1 if found["goal"].startswith("minimize") else 1
    top = {place: max(own, key=lambda cell: (cell[1], sign * cell[0])) for place, own in made.items()}
    rows = tuple(tuple(top.get((layer, i)) for i in range(BINS)) for layer in layers)
    edges = tuple(about["low"] + width * i for i in range(BINS + 1))
    return Cells(across, up, edges, tuple(layers), rows)


def map_table(name: str, found: Mapping[str, Any], drawn: Cells) -> Sheet:
    """A map as text: a line for each layer, a column for each bin; a goal that breaks a limit is in brackets."""

    def said(cell: tuple[float, bool] | None) -> str:
        return "" if cell is None else number(cell[0]) if cell[1] else f"({number(cell[0])})"

    unit = found["axes"][drawn.across]["unit"]
    head = ("layer", *(f"{low:.3g}{unit}" for low in drawn.edges[:-1]))
    rows = [(f"{layer:g}", *map(said, row)) for layer, row in zip(drawn.layers, drawn.rows, strict=True)]
    return Sheet(head, rows, f"{name}: {found['goal']} over {drawn.up} and {drawn.across}, from each value on")


def lines(searches: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What each search chose and its working ranges, each with its name."""
    for name, found in searches.items():
        best, tried = found["best"], len(found["trials"])
        kept = sum(trial["feasible"] for trial in found["trials"])
        limits = f", {kept} of them within the limits" if found["limits"] else ""
        if best is None:
            yield name, f"chose nothing: {tried} trials{limits}"
            continue
        yield name, f"{placed(best)}: {found['goal']} = {number(best['goal'])} ({tried} trials{limits})"
        yield from ((name, working_range(each)) for each in found["ranges"])


def placed(trial: Mapping[str, Any]) -> str:
    """`depth 52.2% (layer 12), strength 1.87`."""
    layers = trial["layers"]

    def said(axis: str, value: str) -> str:
        return f"{axis} {value}" + (f" (layer {layers[axis]})" if axis in layers and value.endswith("%") else "")

    return ", ".join(said(axis, value) for axis, value in trial["at"].items())


def working_range(found: Mapping[str, Any]) -> str:
    """`working range: strength 1.2 to 2.4 (9 trials); beside it strength 2.6: …`."""
    beside = "; ".join(each for each in (found["below"], found["above"]) if each)
    count = f"{found['trials']} trial{'s' * (found['trials'] != 1)}"
    text = f"working range: {found['axis']} {found['start']} to {found['stop']} ({count})"
    return text + (f"; beside it {beside}" if beside else "")


def tables(searches: Mapping[str, Any]) -> Iterator[Sheet]:
    """Of each search the trials, in the order of their values, and the goal along each axis."""
    for name, found in searches.items():
        head = (*found["axes"], "goal", *found["limits"], "chosen")
        rows = [row(found, trial) for trial in ordered(found)]
        yield Sheet(head, rows, f"{name}: {found['goal']}, trial by trial", left=tuple(range(len(found["axes"]))))
        layers = [axis for axis, about in found["axes"].items() if about["layers"]]
        for across in (axis for axis in found["axes"] if axis not in layers):
            yield from (map_table(name, found, cells(found, across, layer)) for layer in layers)
        if curves := list(_along(found)):
            yield Sheet(CURVE, curves, f"{name}: along each axis", left=(0, 1))


def ordered(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The trials by the values of their axes."""
    return sorted(found["trials"], key=lambda trial: [trial["values"][axis] for axis in found["axes"]])


def row(found: Mapping[str, Any], trial: Mapping[str, Any]) -> list[str]:
    """A trial's values, its goal, whether each limit holds, and whether it was chosen."""
    best = found["best"]
    at = [trial["at"][axis] for axis in found["axes"]]
    held = [KEPT if holds else BROKEN for holds in trial["holds"]]
    goal = "failed" if trial["failed"] else number(trial["goal"])
    return [*at, goal, *held, "best" if best is not None and trial["at"] == best["at"] else ""]


def through(found: Mapping[str, Any], axis: str) -> list[Mapping[str, Any]]:
    """The trials on the line of one axis through the best point, in order; none where nothing was chosen."""
    if found["best"] is None:
        return []
    at = found["best"]["at"]
    others = [name for name in at if name != axis]
    return [t for t in ordered(found) if all(t["at"][name] == at[name] for name in others)]


def _along(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for axis in found["axes"]:
        line = through(found, axis)
        if len(line) > 1:
            best = [i for i, trial in enumerate(line) if trial["at"] == found["best"]["at"]]
            values = [trial["goal"] if trial["feasible"] else None for trial in line]
            known = any(value is not None for value in values)
            picture = sparkline(values, best) if known else NOTHING
            yield axis, picture, line[0]["at"][axis], line[-1]["at"][axis]
