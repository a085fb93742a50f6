"""What plots of vectors ask of their views: both classes' statistics, a title, colours and dashes.

In: a `VectorView`. Out: its two `Activations`, or a `MethodError` that says what is missing; a title;
a look for each of several vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steerdsl.engine.plot_data import VectorView
from steerdsl.methods.types import Activations, MethodError
from steerdsl.show.style import DASHES, NEGATIVE, POSITIVE, SERIES


def classes(view: VectorView, plot: str) -> tuple[Activations, Activations]:
    """The positive and the negative class. Raises MethodError when the vector came without them."""
    if view.positive is None or view.negative is None:
        raise MethodError(
            f"`{view.name}` has no prompts behind it, and `{plot}` draws what they gave",
            "plot a vector that this recipe extracts from two data sets, or take `norms` or `cosine`",
        )
    return view.positive, view.negative


def titled(view: VectorView, what: str) -> str:
    """`topic: dispersion at resid_post, last_token`; of all vectors of the picture."""
    every = (view, *view.others)
    streams = " and ".join(dict.fromkeys(one.vector.stream for one in every))
    positions = " and ".join(dict.fromkeys(str(one.vector.meta.get("position") or "") for one in every))
    return f"{', '.join(one.name for one in every)}: {what} at {', '.join(x for x in (streams, positions) if x)}"


def looks(views: Sequence[VectorView]) -> Iterator[tuple[VectorView, int, str]]:
    """Each vector with the number of its pair of classes, which gives its colours, and its dashes,
    which tell it from the others of that pair."""
    pairs: list[tuple[str, str]] = []
    for view in views:
        pairs.append(view.labels)
        dash = DASHES[(pairs.count(view.labels) - 1) % len(DASHES)]
        yield view, list(dict.fromkeys(pairs)).index(view.labels), dash


def colours(pair: int) -> tuple[str, str]:
    """The colours of a pair of classes."""
    every = (POSITIVE, NEGATIVE, *(colour for colour in SERIES if colour not in (POSITIVE, NEGATIVE)))
    return every[2 * pair % len(every)], every[(2 * pair + 1) % len(every)]
