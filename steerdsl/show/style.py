"""How every picture looks: colours, sizes, the axis of layers, the legend.

In: nothing but matplotlib. Out: figures with room for their names, and the settings they are drawn under,
which are the package's own and ignore the user's matplotlibrc.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.container import Container
    from matplotlib.figure import Figure

# Okabe and Ito 2008, Color Universal Design: distinct with any common colour blindness. Their
# yellow is left out, because thin lines of it cannot be seen on white.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8C8C8C"

POSITIVE, NEGATIVE, DIRECTION, CHOSEN = BLUE, ORANGE, GREEN, VERMILLION
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEQUENTIAL, DIVERGING = "cividis", "RdBu_r"

TICKS = 16
CHARACTERS, HANDLE = 12, 7  # letters to an inch of a legend, and the room of a line's sample in letters
TITLE_CHARACTERS = 10.5  # letters to an inch of a title
WIDTH = 8.0  # inches: text of 10 points is 14 pixels tall where a picture is shown 800 pixels wide
SETTINGS: dict[Any, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "figure.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
    "svg.hashsalt": "steerdsl",  # element ids, so that the same figure gives the same bytes
}


@contextmanager
def styled() -> Iterator[None]:
    """Make and draw figures under the package's settings, and put the caller's back."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def panels(
    rows: int, columns: int = 1, *, height: float, title: str, about: str = "", width: float = WIDTH, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with its title and its axes, row by row; sizes in inches. `about`, which names model and
    data, is the title's second line. `options` are those of `Figure.subplots`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    letters = int(width * TITLE_CHARACTERS)
    figure.suptitle("\n".join(line for part in (title, about) for line in wrap(part, letters)))
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def name_layers(axes: Axes, layers: Sequence[int]) -> None:
    """The layers along x, every one where there is room."""
    axes.set_xlim(min(layers) - 0.5, max(layers) + 0.5)
    axes.set_xticks(layers[:: -(-len(layers) // TICKS)])
    axes.set_xlabel("layer")


def legend_below(figure: Figure, handles: Sequence[Artist | Container]) -> None:
    """One legend under all panels, where it can cover no data, in rows of about the same length."""
    widest = HANDLE + max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, int(figure.get_figwidth() * CHARACTERS / widest))
    rows = -(-len(handles) // columns)
    figure.legend(handles=list(handles), loc="outside lower center", ncols=-(-len(handles) // rows))
