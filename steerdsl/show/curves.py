"""The curves of a run as lines of text, for the terminal.

In: scores and choices as a run leaves them. Out: rich tables with a sparkline in each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steerdsl.lang.variants import BASELINE
from steerdsl.show.sparks import sparkline


def curves(scores: Mapping[str, Any], choices: Mapping[str, Any]) -> Iterator[RenderableType]:
    """A table for each choice of layers, and one for each evaluation that is swept over one axis."""
    for name, choice in choices.items():
        yield choice_curves(name, choice)
    for name, found in scores.items():
        points = found.get("points", ())
        if points and len(points[0]["at"]) == 1:
            yield sweep_curves(name, points)


def choice_curves(name: str, choice: Mapping[str, Any]) -> Group:
    """A line for each of the criterion's figures, the chosen layers in brackets."""
    layers = choice["layers"]
    title = Text(f"{name}: layers {layers[0]} to {layers[-1]} of {choice['vector']} by {choice['criterion']}", "italic")
    out = _table()
    places = [layers.index(layer) for layer in choice["chosen"] if layer in layers]
    for figure, values in {**choice["figures"], "score": choice["score"]}.items():
        out.add_row(figure, "", Text(sparkline(values, places)), *_ends(values))
    return Group(title, out)


def sweep_curves(name: str, points: Sequence[Mapping[str, Any]]) -> Group:
    """A line for each metric, data set and variant but the baseline, along the axis."""
    (axis, first), last = next(iter(points[0]["at"].items())), next(iter(points[-1]["at"].values()))
    title = Text(f"{name}: over {axis} from {first} to {last}", "italic")
    out = _table()
    for metric, by_data in points[0]["scores"].items():
        for data, by_variant in by_data.items():
            for variant in (v for v in by_variant if v != BASELINE):
                values = [point["scores"][metric][data].get(variant, {}).get("mean") for point in points]
                out.add_row(f"{metric}, {data}", variant, Text(sparkline(values)), *_ends(values))
    return Group(title, out)


def _table() -> Table:
    out = Table(header_style="bold", box=SIMPLE_HEAD)
    for head in ("", "", ""):
        out.add_column(head, no_wrap=True)
    out.add_column("least", justify="right")
    out.add_column("most", justify="right")
    return out


def _ends(values: Sequence[float | None]) -> tuple[str, str]:
    known = [x for x in values if x is not None]
    return (f"{min(known):.3g}", f"{max(known):.3g}") if known else ("–", "–")
