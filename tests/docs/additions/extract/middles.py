"""The difference of the class medians, feature by feature.

In: every sample of both classes. Out: a direction for each layer.
"""

from __future__ import annotations

from steerdsl.methods.contrast import negligible
from steerdsl.methods.extract.diffmean import normalised
from steerdsl.methods.types import Activations, Directions
from steerdsl.registry import Entry


def run(positive: Activations, negative: Activations) -> Directions:
    """median(P) - median(N) for each layer."""
    assert positive.rows is not None and negative.rows is not None
    delta = positive.rows.double().median(0).values - negative.rows.double().median(0).values
    unit, norm = normalised(delta, negligible(delta, positive, negative))
    return Directions(unit, norm)


ENTRY = Entry(
    "extract",
    "middles",
    "the difference of the class medians",
    run,
    formula="median(P) - median(N)",
    example="topic = extract middles from econ vs generic",
    needs=frozenset({"rows"}),
)
