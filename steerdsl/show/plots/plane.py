"""`plot plane(turn)`: the candidates of a plane as it sees them.

In: a plane with its candidates' coordinates. Out: one panel with b1 to the right and b2 up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from steerdsl.engine.plot_data import PlaneView
from steerdsl.methods.types import MethodError
from steerdsl.registry import Arg, Entry
from steerdsl.show.style import BLACK, GREY, SEQUENTIAL, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SLACK = 1e-6  # a projected unit vector may be this much too long


def run(view: PlaneView) -> Figure:
    """The candidates on b1 and b2, coloured by their layers, inside a circle of angles.

    The circle's radius is 1 where all candidates are unit vectors, else the longest projection.
    Raises MethodError for a plane that was made without candidates.
    """
    plane = view.plane
    if plane.coordinates is None:
        raise MethodError(
            f"`{view.name}` has no candidate directions to draw", "make the plane of a vector with several layers"
        )
    coordinates = plane.coordinates.double().numpy()
    longest = max(math.hypot(x, y) for x, y in coordinates)
    radius = 1.0 if longest <= 1 + SLACK else longest
    figure, (panel,) = panels(1, width=7.0, height=6.1, title=f"{view.name}: candidates in the plane", about=view.about)
    _circle(panel, radius)
    order = list(plane.layers or range(1, len(coordinates) + 1))
    points = panel.scatter(
        coordinates[:, 0], coordinates[:, 1], c=order, cmap=SEQUENTIAL, s=40, edgecolors=BLACK, linewidths=0.4, zorder=3
    )
    panel.set_xlabel("along b1")
    behind = "" if plane.explained is None else f" (its component explains {plane.explained:.0%} of the variance)"
    panel.set_ylabel(f"along b2{behind}")
    if len(coordinates) > 1:
        figure.colorbar(points, ax=panel, label="layer" if plane.layers else "number of the sample", shrink=0.85)
    return figure


def _circle(panel: Axes, radius: float) -> None:
    """b1 and b2 as arrows, and the angles, which run counter-clockwise from b1."""
    from matplotlib.patches import Circle

    panel.add_patch(Circle((0, 0), radius, fill=False, color=GREY, linewidth=1))
    for degrees, name in ((0, "b1, 0°"), (90, "b2, 90°"), (180, "180°"), (270, "270°")):
        x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        if degrees < 180:
            arrow = {"arrowstyle": "-|>", "color": BLACK, "shrinkA": 0, "shrinkB": 0}
            panel.annotate("", (radius * x, radius * y), (0, 0), arrowprops=arrow)
        place = (1.19 * radius * x, 1.08 * radius * y)
        panel.text(*place, name, ha="center", va="center", color=BLACK if degrees < 180 else GREY)
    panel.set_xlim(-1.35 * radius, 1.35 * radius)
    panel.set_ylim(-1.2 * radius, 1.2 * radius)
    panel.set_aspect("equal")


ENTRY = Entry(
    kind="plot",
    name="plane",
    summary="the candidate directions projected on a plane's two axes",
    run=run,
    args=(Arg("plane", "plane", doc="a plane bound to a name"),),
    formula="(c·b1, c·b2)",
    paper="Vu and Nguyen 2025, Angular Steering",
    example="plot plane(turn)",
)
