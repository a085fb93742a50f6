"""The curves of a run as lines of text, for the terminal.

In: scores and choices as a run leaves them. Out: tables with a sparkline in each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steerdsl.lang.variants import BASELINE
from steerdsl.measure.table import Table
from steerdsl.show.numbers import NOTHING, number
from steerdsl.show.points import words_of
from steerdsl.show.sheet import Sheet
from steerdsl.show.sparks import bar, sparkline

HEAD = ("", "", "", "least", "most")


def curves(scores: Table, choices: Mapping[str, Any]) -> Iterator[Sheet]:
    """A table for each choice of layers, and one for each evaluation that is swept over one axis."""
    for name, choice in choices.items():
        yield choice_curves(name, choice)
    for name, rows in scores.evaluations.items():
        if len(rows[0].at) == 1:
            yield word_bars(name, rows) if words_of(rows) else sweep_curves(name, rows)


def choice_curves(name: str, choice: Mapping[str, Any]) -> Sheet:
    """A line for each of the criterion's figures, the chosen layers in brackets."""
    layers, chosen = choice["layers"], choice["chosen"]
    kept = f"layer{'s' * (len(chosen) > 1)} {', '.join(map(str, chosen))}"
    title = f"{name}: {kept} of {choice['vector']} by {choice['criterion']}, from layers {layers[0]} to {layers[-1]}"
    places = [layers.index(layer) for layer in chosen if layer in layers]
    figures = {**choice["figures"], "score": choice["score"]}
    rows = [(figure, "", sparkline(values, places), *_ends(values)) for figure, values in figures.items()]
    return Sheet(HEAD, rows, title, left=(0, 1, 2))


def sweep_curves(name: str, found: Table) -> Sheet:
    """A line for each metric, data set and variant but the baseline, along the axis."""
    points = list(found.points.values())
    ((axis, first),), (last,) = points[0][0].at.items(), points[-1][0].at.values()
    rows = []
    for row in points[0]:
        if row.variant != BASELINE:
            along = (point.one(row.metric, row.data, row.variant) for point in points)
            values = [None if each is None else each.mean for each in along]
            rows.append((f"{row.metric}, {row.data}", row.variant, sparkline(values), *_ends(values)))
    return Sheet(HEAD, rows, f"{name}: over {axis} from {first} to {last}", left=(0, 1, 2))


def word_bars(name: str, found: Table) -> Sheet:
    """A bar for each metric, data set, variant and word of the axis; words are in no order, so there is no curve."""
    (axis,) = found[0].at
    rows = []
    for metric, data in dict.fromkeys((row.metric, row.data) for row in found):
        own = [row for row in found if (row.metric, row.data) == (metric, data)]
        most = max((abs(row.mean) for row in own if row.mean is not None), default=0.0)
        for row in own:
            figure = NOTHING if row.mean is None else number(row.mean)
            rows.append((f"{metric}, {data}", row.at[axis], row.variant, bar(row.mean, most), figure))
    return Sheet(("", axis, "", "", "mean"), rows, f"{name}: over {axis}", left=(0, 1, 2, 3))


def _ends(values: Sequence[float | None]) -> tuple[str, str]:
    known = [x for x in values if x is not None]
    return (number(min(known)), number(max(known))) if known else (NOTHING, NOTHING)
