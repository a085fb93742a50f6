"""What a plot is drawn from: plain results, gathered while a plan runs and drawn afterwards.

In: filled by the `plot` steps of a run. Out: read by `show.plots`, whose entries draw one kind each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerdsl.methods.types import Activations, Plane, Vector


@dataclass(frozen=True, slots=True)
class VectorView:
    """A vector with the statistics of the classes that it was extracted from (None for vectors that
    were loaded, drawn at random or computed from others). `rows` are kept when the entry asks."""

    name: str
    vector: Vector
    positive: Activations | None = None
    negative: Activations | None = None
    labels: tuple[str, str] = ("positive", "negative")


@dataclass(frozen=True, slots=True)
class PlaneView:
    """A plane with its candidates' coordinates."""

    name: str
    plane: Plane


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """A choice of layers as record.json keeps it: criterion, layers, figures, score, chosen."""

    name: str
    choice: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ScoreView:
    """A metric of an evaluation. `points` are (axis -> label, axis -> number, table), where table is
    data set -> variant -> {"mean", "low", "high", "n"}; one point with no axes outside a sweep.
    `over` are the axes to draw along, all of the sweep's when none is named."""

    name: str
    metric: str
    points: Sequence[tuple[Mapping[str, str], Mapping[str, float], Mapping[str, Any]]]
    over: tuple[str, ...] = ()
    polar: bool = False
    datasets: tuple[str, ...] = ()
