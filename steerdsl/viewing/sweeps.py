"""The figures of a sweep as a picture whose points can be clicked: a curve, or a circle where the axis is an angle.

In: the rows of an evaluation. Out: SVG for each metric, in the colours of the page. Each point has the number of its
place in the sweep, by which its answers are asked for.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from steerdsl.lang.variants import BASELINE, PROMPTED
from steerdsl.measure.table import Point, Row, Table, point, said
from steerdsl.show.numbers import interval
from steerdsl.show.report.figures import number as shown
from steerdsl.show.report.html import Html, details, joined, section, tag
from steerdsl.show.series import metric_name
from steerdsl.store.finished_run import Finished

MOST = 4000  # points of a picture
COLOURS = 7
UNSTEERED = (BASELINE, PROMPTED)
NUMBER = re.compile(r"([-+]?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)(deg|rad|turn|%)?\Z", re.IGNORECASE)
DEGREES = {"deg": 1.0, "rad": 180 / math.pi, "turn": 360.0}
AROUND = 180.0  # degrees from which on a sweep of angles is drawn around a circle


@dataclass(frozen=True, slots=True)
class Spot:
    """A figure in the picture: its value on the axis, the number of its point, and its row."""

    value: float
    place: int
    row: Row


@dataclass(frozen=True, slots=True)
class Curve:
    """One variant on one data set, at the values of the other axes: its figures along the first."""

    name: str
    data: str
    variant: str
    spots: tuple[Spot, ...]


def sweeps(run: Finished) -> Html:
    """A picture for each metric of each evaluation in a sweep; searches have their own."""
    tried = {name for search in run.record.get("searches", {}).values() for name in search["evaluations"]}
    parts = [_sweep(name, rows) for name, rows in run.scores.evaluations.items() if rows.swept and name not in tried]
    note = tag("p", "A click on a point, or Enter, shows the answers behind it; arrow keys go along.", class_="note")
    return section("Sweeps", note, *parts, tag("div", id="behind", class_="behind")) if parts else Html("")


def _sweep(name: str, rows: Table) -> Html:
    axes = list(rows[0].at)
    pictures: list[Html] = []
    for metric, own in rows.by("metric").items():
        picture = _picture(name, metric, own, axes[0], list(rows.points))
        pictures.append(details(metric_name(metric), picture, shown=not pictures))
    return joined((tag("h3", f"{name}: over {', '.join(axes)}, {len(rows.points)} points"), *pictures))


def _picture(evaluation: str, metric: str, rows: Table, axis: str, points: Sequence[Point]) -> Html:
    labels = list(dict.fromkeys(row.at[axis] for row in rows))
    read = [_number(label) for label in labels]
    known = [value for value in read if value is not None]
    if len(known) < len(read) or len({unit for _, unit in known}) > 1:  # words, which have no distance
        values, angles = {label: float(i) for i, label in enumerate(labels)}, False
    else:
        values = {label: value for label, (value, _) in zip(labels, known, strict=True)}
        angles = known[0][1] == "deg" and max(values.values()) - min(values.values()) >= AROUND
    lines = list(_lines(rows, axis, values, {at: i for i, at in enumerate(points)}))
    figures = [x for line in lines for spot in line.spots for x in (spot.row.mean, spot.row.low, spot.row.high)]
    heights = [x for x in figures if x is not None and math.isfinite(x)]
    if not heights:
        return tag("p", "no point has a figure", class_="note")
    if sum(len(line.spots) for line in lines) > MOST:
        return tag("p", f"more than {MOST} points: scores.csv has them", class_="note")
    frame: Frame = Circle.of(heights) if angles else Plain.of(heights, values, axis)
    colours = _colours(lines)
    drawn = [_drawn(line, colour, frame, (evaluation, metric)) for line, colour in zip(lines, colours, strict=True)]
    label = f"{metric} of {evaluation} over {axis}"
    size = {"viewBox": f"0 0 {frame.width:g} {frame.height:g}", "class_": f"sweep {frame.kind}"}
    svg = tag("svg", tag("title", label), *frame.ground(), *drawn, role="group", **size)
    return tag("div", svg, tag("ul", *_legend(lines, colours), class_="legend"), class_="drawn")


def _lines(rows: Table, axis: str, values: dict[str, float], places: dict[Point, int]) -> Iterator[Curve]:
    """What is not steered and the same at all values of the other axes is one line."""
    found: dict[tuple[str, str], dict[tuple[str, ...], list[Spot]]] = {}
    for row in rows:
        rest = tuple(f"{name} {label}" for name, label in row.at.items() if name != axis)
        spot = Spot(values[row.at[axis]], places[point(row.at)], row)
        found.setdefault((row.data, row.variant), {}).setdefault(rest, []).append(spot)
    for (data, variant), lines in found.items():
        ordered = {rest: tuple(sorted(spots, key=lambda spot: spot.value)) for rest, spots in lines.items()}
        if variant in UNSTEERED and len({tuple(s.row.mean for s in spots) for spots in ordered.values()}) == 1:
            ordered = {(): next(iter(ordered.values()))}
        for rest, spots in ordered.items():
            yield Curve(", ".join((data, variant, *rest)), data, variant, spots)


def _drawn(line: Curve, colour: int, frame: Frame, about: tuple[str, str]) -> Html:
    parts: list[Html] = []
    for run in _runs(line.spots):
        ends = [(s.value, s.row.low, s.row.high) for s in run if s.row.low is not None and s.row.high is not None]
        around = frame.closed and len(run) == len(line.spots) and _all_around([spot.value for spot in run])
        if len(ends) == len(run) > 1:
            high, low = ([frame.at(end[0], end[side]) for end in ends] for side in (2, 1))
            loop = [*high, *(high[:1] if around else ()), *(low[:1] if around else ()), *reversed(low)]
            parts.append(tag("polygon", points=_path(loop), class_="band"))
        along = [frame.at(spot.value, spot.row.mean or 0.0) for spot in run]
        parts.append(tag("polyline", points=_path([*along, *(along[:1] if around else ())])))
    parts += [_dot(spot, line, frame, about) for run in _runs(line.spots) for spot in run]
    kind = "unsteered" if line.variant in UNSTEERED else "steered"
    return tag("g", *parts, class_=f"line c{colour} {kind}")


def _dot(spot: Spot, line: Curve, frame: Frame, about: tuple[str, str]) -> Html:
    evaluation, metric = about
    x, y = frame.at(spot.value, spot.row.mean or 0.0)
    reach = interval(spot.row.low, spot.row.high)
    label = f"{said(spot.row.at)}: {line.name}, {metric} {shown(spot.row.mean)}{f' {reach}' if reach else ''}"
    button = {"tabindex": "0", "role": "button", "aria-label": label}
    data = {"data-evaluation": evaluation, "data-place": spot.place, "data-variant": line.variant}
    mark = [tag("title", label), tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="9", class_="reach")]
    return tag("g", *mark, tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="3.2"), class_="spot", **button, **data)


def _legend(lines: Sequence[Curve], colours: Sequence[int]) -> Iterator[Html]:
    for line, colour in zip(lines, colours, strict=True):
        kind = "unsteered" if line.variant in UNSTEERED else "steered"
        yield tag("li", line.name, class_=f"c{colour} {kind}")


def _colours(lines: Sequence[Curve]) -> list[int]:
    """A colour for each line: what is not steered has that of the first steer on its data, and dashes."""
    steered = [line for line in lines if line.variant not in UNSTEERED]
    own = {line.name: i % COLOURS for i, line in enumerate(steered)}
    first = {line.data: own[line.name] for line in reversed(steered)}
    return [own.get(line.name, first.get(line.data, COLOURS - 1)) for line in lines]


def _all_around(degrees: Sequence[float]) -> bool:
    """Whether sorted angles leave no wider gap at their end than elsewhere."""
    widest = max((after - before for before, after in pairwise(degrees)), default=360.0)
    return len(degrees) > 2 and 0 < degrees[0] + 360 - degrees[-1] <= 1.5 * widest


def _runs(spots: Sequence[Spot]) -> list[list[Spot]]:
    """The stretches that have figures."""
    known = groupby(spots, key=lambda spot: spot.row.mean is not None and math.isfinite(spot.row.mean))
    return [list(run) for has, run in known if has]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _number(label: str) -> tuple[float, str] | None:
    """A value of an axis and its unit, angles in degrees; None for a word."""
    found = NUMBER.match(label.strip().replace("−", "-"))
    if found is None:
        return None
    value, unit = float(found[1]), (found[2] or "").lower()
    return (value * DEGREES[unit], "deg") if unit in DEGREES else (value, unit)


class Frame(ABC):
    """Where figures are in a picture, and what is behind them."""

    kind, closed = "", False
    width, height = 720.0, 330.0

    def __init__(self, low: float, high: float) -> None:
        self.ticks = _ticks(low, high)
        self.low, self.high = min(low, self.ticks[0]), max(high, self.ticks[-1])

    def up(self, figure: float) -> float:
        """From 0, the lowest, to 1."""
        return (figure - self.low) / (self.high - self.low)

    @abstractmethod
    def at(self, value: float, figure: float) -> tuple[float, float]:
        """The place of a figure."""

    @abstractmethod
    def ground(self) -> Iterator[Html]:
        """Axes and their numbers."""


class Plain(Frame):
    """Values along, figures up."""

    kind = "plain"
    left, right, top, bottom = 56.0, 16.0, 14.0, 46.0

    @classmethod
    def of(cls, figures: Sequence[float], values: dict[str, float], axis: str) -> Plain:
        """A frame that holds these figures."""
        made = cls(min(0.0, *figures) if min(figures) < max(figures) / 3 else min(figures), max(figures))
        made.values, made.axis = values, axis
        return made

    values: dict[str, float]
    axis: str

    def at(self, value: float, figure: float) -> tuple[float, float]:
        first, last = min(self.values.values()), max(self.values.values())
        share = (value - first) / (last - first) if last > first else 0.5
        across = self.left + share * (self.width - self.left - self.right)
        return across, self.height - self.bottom - self.up(figure) * (self.height - self.top - self.bottom)

    def ground(self) -> Iterator[Html]:
        right, floor = self.width - self.right, self.height - self.bottom
        for tick in self.ticks:
            _, y = self.at(min(self.values.values()), tick)
            yield tag("line", x1=f"{self.left:g}", x2=f"{right:g}", y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid")
            yield tag("text", shown(tick), x=f"{self.left - 8:g}", y=f"{y + 4:.1f}", class_="end")
        every = -(-len(self.values) // 10)
        for label, value in list(self.values.items())[::every]:
            x, _ = self.at(value, self.low)
            yield tag("text", label, x=f"{x:.1f}", y=f"{floor + 18:g}", class_="middle")
        x = (self.left + right) / 2
        yield tag("text", self.axis, x=f"{x:g}", y=f"{self.height - 6:g}", class_="middle name")


class Circle(Frame):
    """Angles around, counter-clockwise from the right; figures outward. The middle is a hole, so that 0 is a circle."""

    kind, closed = "around", True
    width, height = 460.0, 440.0
    hole, rim = 60.0, 180.0

    @classmethod
    def of(cls, figures: Sequence[float]) -> Circle:
        """A frame that holds these figures."""
        return cls(min(0.0, *figures), max(figures))

    def at(self, value: float, figure: float) -> tuple[float, float]:
        radius = self.hole + self.up(figure) * (self.rim - self.hole)
        return self._place(value, radius)

    def _place(self, degrees: float, radius: float) -> tuple[float, float]:
        turn = math.radians(degrees)
        return self.width / 2 + radius * math.cos(turn), self.height / 2 - radius * math.sin(turn)

    def ground(self) -> Iterator[Html]:
        x, y = f"{self.width / 2:g}", f"{self.height / 2:g}"
        for degrees in range(0, 360, 45):
            (x1, y1), (x2, y2) = self._place(degrees, self.hole), self._place(degrees, self.rim)
            yield tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_="grid")
            tx, ty = self._place(degrees, self.rim + 20)
            yield tag("text", f"{degrees}°", x=f"{tx:.1f}", y=f"{ty + 4:.1f}", class_="middle")
        for tick in self.ticks:
            radius = self.hole + self.up(tick) * (self.rim - self.hole)
            yield tag("circle", cx=x, cy=y, r=f"{radius:.1f}", class_="grid")
        for tick in self.ticks[1:]:
            tx, ty = self.at(292.5, tick)
            yield tag("text", shown(tick), x=f"{tx:.1f}", y=f"{ty + 4:.1f}", class_="middle ring")


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below the lowest figure to above the highest, about five."""
    reach = (high - low) or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(reach / 4))
    step = next(size * n for n in (1, 2, 5, 10) if size * n >= reach / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
