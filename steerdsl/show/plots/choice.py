"""`plot choice(best)`: what a criterion saw at each layer, and which layers it chose.

In: a choice as the record keeps it. Out: one panel for each of the criterion's figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from steerdsl.engine.plot_data import ChoiceView
from steerdsl.methods.types import MethodError
from steerdsl.registry import Arg, Entry
from steerdsl.show.style import BLACK, BLUE, CHOSEN, GREY, legend_below, name_layers, panels

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORE = "score"
LABELS: Mapping[str, str] = {
    "bypass": "bypass\n(log odds)",
    "induce": "induce\n(log odds)",
    "kl": "KL (nats)",
    "auroc": "AUROC",
    "cohen_d": "Cohen's d",
    "difference": "distance of the\nclass means",
    SCORE: "score\n(smallest wins)",
}
SIDES: Mapping[str, Any] = {"positive": "-", "negative": "--"}
LOOKS: Mapping[str, Mapping[str, Any]] = {
    "dropped": {"marker": "o", "markerfacecolor": "white", "color": BLUE},
    "could be chosen": {"marker": "o", "color": BLUE},
    "chosen": {"marker": "D", "markersize": 8, "color": CHOSEN},
}
LIMIT = (0, (2, 2))
WIDE = 20.0  # from this ratio of largest to smallest on, an axis is logarithmic

Curves = Mapping[str, Sequence[float]]


def run(view: ChoiceView) -> Figure:
    """Every figure by layer, with the thresholds of the criterion; dropped layers are hollow, chosen
    ones are marked in all panels.

    A class's own figures share a panel, and give way to their rescaled ones where there are any.
    Raises MethodError when no layer has a figure.
    """
    choice = view.choice
    curves = shown(choice)
    if not any(math.isfinite(x) for curve in curves.values() for values in curve.values() for x in values):
        raise MethodError(f"`{view.name}` has no figures to draw", "choose layers by another criterion")
    layers, chosen = choice["layers"], choice["chosen"]
    numbers = ", ".join(map(str, chosen[:6])) + (", …" if len(chosen) > 6 else "")
    title = f"{view.name}: layer{'s' * (len(chosen) > 1)} {numbers} of {choice['vector']} by {choice['criterion']}"
    height = max(4.0, 1.55 * len(curves) + 1.4)
    figure, axes = panels(len(curves), height=height, title=title, about=view.about, sharex=True)
    order = choice["order"]
    states = ["chosen" if x in chosen else "could be chosen" if x in order else "dropped" for x in layers]
    for panel, (name, curve) in zip(axes, curves.items(), strict=True):
        for layer in chosen:
            panel.axvline(layer, color=CHOSEN, linewidth=1, alpha=0.5)
        _panel(panel, layers, curve, states)
        for limit, said in limits(view, name):
            panel.axhline(limit, color=BLACK, linewidth=1, linestyle=LIMIT, label=said)
        if (first := deepest(view)) is not None and first <= layers[-1]:
            panel.axvspan(first - 0.5, layers[-1] + 0.5, color=GREY, alpha=0.15, linewidth=0)
        panel.set_ylabel(LABELS.get(name) or fill(name.replace("_", " "), 14))
        panel.margins(y=0.12)
        _scale(panel, curve)
    name_layers(axes[-1], layers)
    _legend(figure, view, any(len(curve) > 1 for curve in curves.values()), states)
    return figure


def limits(view: ChoiceView, figure: str) -> list[tuple[float, str]]:
    """The thresholds of the criterion's options `max_FIGURE` and `min_FIGURE`: value and words."""
    words = {"max": "at most", "min": "at least"}
    given = [(side, view.options.get(f"{side}_{figure}")) for side in words]
    return [(float(x), f"{figure} {words[side]} {x:g}") for side, x in given if x is not None]


def deepest(view: ChoiceView) -> int | None:
    """The first of the last layers, which the option `deepest` leaves out: `int((1 - deepest) L)`."""
    share = view.options.get("deepest")
    return None if share is None or view.n_layers is None else int(view.n_layers * (1.0 - share))


def shown(choice: Mapping[str, Any]) -> Mapping[str, Curves]:
    """What is drawn: panel -> line style -> values, nan where a layer has none. The score has a panel
    of its own where it is not one of the figures, or one turned around."""
    figures = {name: _numbers(values) for name, values in choice["figures"].items()}
    found: dict[str, dict[str, Sequence[float]]] = {}
    for name, values in figures.items():
        side = next((side for side in SIDES if name.endswith(f"_{side}")), "")
        stem = name.removesuffix(f"_{side}")
        if f"relative_{stem}" not in figures:
            found.setdefault(stem, {})[SIDES.get(side, "-")] = values
    score = _numbers(choice[SCORE])
    at = [i for i, x in enumerate(score) if not math.isnan(x)]
    if not any(all(abs(values[i]) == abs(score[i]) for i in at) for values in figures.values()):
        found[SCORE] = {"-": score}
    return found


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if x is None else x for x in values]


def _panel(panel: Axes, layers: Sequence[int], curve: Curves, states: Sequence[str]) -> None:
    """Lines, with a mark for each layer that says whether it could win and whether it did."""
    for line, values in curve.items():
        panel.plot(layers, values, color=BLUE, linestyle=line, linewidth=1.2)
        for state, look in LOOKS.items():
            at = [i for i, own in enumerate(states) if own == state]
            panel.plot([layers[i] for i in at], [values[i] for i in at], linestyle="", **look)


def _scale(panel: Axes, curve: Curves) -> None:
    values = [x for line in curve.values() for x in line if math.isfinite(x)]
    if values and min(values) > 0 and max(values) / min(values) > WIDE:
        panel.set_yscale("log")


def _legend(figure: Figure, view: ChoiceView, by_class: bool, states: Sequence[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [
        Line2D([], [], linestyle="", label=state, **look) for state, look in LOOKS.items() if state in states
    ]
    if by_class:
        handles += [Line2D([], [], color=BLUE, linestyle=line, label=f"{side} class") for side, line in SIDES.items()]
    found = [said for name in view.choice["figures"] for _, said in limits(view, name)]
    if found:
        handles.append(Line2D([], [], color=BLACK, linewidth=1, linestyle=LIMIT, label="; ".join(found)))
    if (first := deepest(view)) is not None and first <= view.choice["layers"][-1]:
        handles.append(Patch(color=GREY, alpha=0.15, label=f"last layers, from {first} on: left out"))
    legend_below(figure, handles)


ENTRY = Entry(
    kind="plot",
    name="choice",
    summary="a criterion's figures by layer, with the chosen layers marked",
    run=run,
    args=(Arg("choice", "layers", doc="the result of a `select`"),),
    paper="Arditi et al. 2024, section 2.3 (bypass, induce, KL)",
    example="plot choice(best)",
)
