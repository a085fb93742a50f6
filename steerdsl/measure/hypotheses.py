"""What a claim tests, so that a family of claims counts each test once.

In: a claim, and the data sets of the evaluations that it reads. Out: a key that is the same for claims that test the
same difference: `a < b`, `b > a`, `a - b < 0`, `2 * a < 2 * b`, and a score with or without the name of its only
data set.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from steerdsl.lang import recipe as r

DIGITS = 10  # to which two weights of a sum are the same, whatever the order in which they were added up


def tested(step: r.Check, data: Mapping[str, Sequence[str]]) -> Hashable:
    """The difference whose sign a claim is about, up to a factor: each score with its weight, and the number beside
    them. `data` has the data sets of each evaluation, over which a score that names none is a mean."""
    weights: dict[tuple[str, ...], float] = {}
    for sign, side in ((1.0, step.left), (-1.0, step.right)):
        for term in side.terms:
            evaluation, metric, *named = term.path
            places = named or data.get(evaluation, ())
            for place in places:
                score = (evaluation, metric, place, term.variant or "")
                weights[score] = weights.get(score, 0.0) + sign * term.share / len(places)
    largest = max(map(abs, weights.values()), default=0.0)
    kept = sorted((score, weight) for score, weight in weights.items() if abs(weight) > largest * 10**-DIGITS)
    unit = kept[0][1] if kept else 1.0
    number = step.left.value - step.right.value
    return tuple((score, _rounded(weight / unit)) for score, weight in kept), _rounded(number / unit)


def _rounded(number: float) -> str:
    return f"{number + 0.0:.{DIGITS}g}"  # + 0.0: -0 is 0
