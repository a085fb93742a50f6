"""What a plot is drawn from: plain results, gathered while a plan runs and drawn afterwards.

In: filled by the `plot` steps of a run. Out: read by `show.plots`, whose entries draw one kind each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steerdsl.measure.table import Table
from steerdsl.methods.types import Activations, Plane, Vector


@dataclass(frozen=True, slots=True)
class VectorView:
    """A vector with the statistics of the classes that it was extracted from (None for vectors that
    were loaded, drawn at random or computed from others). `rows` are kept when the entry asks.
    `others` are further vectors of the same picture. In all views `about` names the model and the
    data, for the title."""

    name: str
    vector: Vector
    positive: Activations | None = None
    negative: Activations | None = None
    labels: tuple[str, str] = ("positive", "negative")
    about: str = ""
    others: tuple[VectorView, ...] = ()


@dataclass(frozen=True, slots=True)
class PlaneView:
    """A plane with its candidates' coordinates."""

    name: str
    plane: Plane
    about: str = ""


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """A choice of layers as record.json keeps it: criterion, layers, figures, score, chosen; with the
    criterion's options, defaults filled in, and the number of the model's layers."""

    name: str
    choice: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    n_layers: int | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class SearchView:
    """A search as record.json keeps it: its axes, limits, trials, the best of them and the working ranges."""

    name: str
    found: Mapping[str, Any]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Turning:
    """The rotation that an axis of angles drives: its plane's name, whether angles are absolute (`to`)
    or turn what is there (`by`), and the plane itself where it is one plane at all points."""

    name: str
    absolute: bool
    plane: Plane | None = None


@dataclass(frozen=True, slots=True)
class ScoreView:
    """The rows of a metric of an evaluation. `numbers` are the values of a sweep's axes by axis and label;
    `over` are the axes to draw along, all of the sweep's when none is named."""

    name: str
    metric: str
    rows: Table
    numbers: Mapping[tuple[str, str], float] = field(default_factory=dict)
    over: tuple[str, ...] = ()
    polar: bool = False
    datasets: tuple[str, ...] = ()
    about: str = ""
    turning: Turning | None = None
