"""`plot scores.bleu over angle`: a metric along the axes of a sweep, or as bars where there is none.

In: a `ScoreView`. Out: bars, lines, a polar picture, maps or panels, by what it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.engine.plot_data import ScoreView
from steerdsl.methods.types import MethodError
from steerdsl.registry import Arg, Entry
from steerdsl.show.bars import by_data, by_word, by_word_and_number
from steerdsl.show.heat import heat
from steerdsl.show.lines import along
from steerdsl.show.polar import polar
from steerdsl.show.series import series, words_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run(view: ScoreView) -> Figure:
    """No axis: bars. One: a line for each data set and variant, the baseline dashed, with 95% bands;
    or the same around a circle. Two: a map for each data set and variant. An axis of words: a group of bars for each
    word, or a panel for each where there is a second axis.

    Raises MethodError with more than two axes and when no point has a figure.
    """
    if len(view.over) > 2:
        named = ", ".join(view.over)
        raise MethodError(
            f"a plot has two axes at most, and this one would have {len(view.over)}: {named}",
            f"write `over {view.over[0]}` or `over {view.over[0]}, {view.over[1]}`",
        )
    words = words_of(view)
    if len(words) == 1 < len(view.over):
        return by_word_and_number(view)
    if words:
        return by_word(view)
    lines = series(view)
    if len(view.over) == 2:
        return heat(view, lines)
    if not view.over:
        return by_data(view, lines)
    return polar(view, lines) if view.polar else along(view, lines)


ENTRY = Entry(
    kind="plot",
    name="scores",
    summary="a metric of an evaluation: along one axis of a sweep, around a circle, over two axes, or as bars",
    run=run,
    args=(Arg("score", "score", doc="a metric of an evaluation, with or without a data set"),),
    example='plot scores.refusal_rate over angle polar to "sweep.png"',
)
