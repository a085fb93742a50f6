"""Whether a steer breaks the model, so that what is scored is not what was meant.

In: the answers of a run, as generations.jsonl has them, and its table of figures. Out: warnings. Three signs are
looked at, each compared with the unsteered model and random directions: answers that repeat themselves, empty
answers, and the nats that `delta_nll` finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerdsl.lang.variants import BASELINE, HELD_AGAINST, RANDOM, REFERENCE
from steerdsl.measure.table import Table, said

RUN = 4  # tokens
SHORTEST = 8  # tokens of an answer that is looked at
# From which figure on a sign counts, and the most that the unsteered model may have of it. On the default model, an
# addition at layer 14 that answers sensibly (10% of each token's norm) repeats 7% and costs 1.0 nats a token; the
# first that does not (20%) costs 3.8.
LIMITS: Mapping[str, tuple[float, float]] = {"repeats": (0.5, 0.25), "empty": (0.5, 0.25), "nats": (3.0, 0.0)}
TOO = 0.4  # of a limit: random directions past this break it too (at 20%: 16% and 1.2 nats; at 30%: 22% and 2.8)
SAID: Mapping[str, str] = {
    "repeats": "{} of the runs of four tokens in its answers repeat earlier ones",
    "empty": "{} of its answers are empty",
    "nats": "the unsteered answers cost {} nats a token more",
}

Scored = tuple[str, str]  # evaluation, data set
Point = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sign:
    """One figure that is past its limit, of the steer and of what it is held against (None: not known)."""

    kind: str
    steer: str
    figure: float
    base: float
    random: float | None
    point: Point


def warnings(rows: Iterable[Mapping[str, Any]], scores: Table) -> list[str]:
    """A sentence for each evaluation and data set where a steer breaks the model, over all points of a sweep."""
    found: dict[Scored, list[Sign]] = {}
    points: dict[Scored, set[Point]] = {}
    for place, point, figures in (*_of_answers(rows), *_of_scores(scores)):
        points.setdefault(place, set()).add(point)
        for sign in _past(figures, point):
            found.setdefault(place, []).append(sign)
    return [_sentence(place, signs, len(points[place])) for place, signs in found.items()]


def repeated(ids: Sequence[int]) -> float:
    """The share of runs of four tokens that occurred before in the answer."""
    runs = [tuple(ids[i : i + RUN]) for i in range(len(ids) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs)


# kind -> variant -> figure
Figures = dict[str, dict[str, float]]


def _of_answers(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Scored, Point, Figures]]:
    """What the answers of each evaluation, data set and point show; those that are withheld show nothing."""
    kept: dict[tuple[Scored, Point], dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows:
        if row["variant"] == REFERENCE or row.get("withheld"):
            continue
        place, point = (row["step"], row["dataset"]), tuple((row.get("point") or {}).items())
        kept.setdefault((place, point), {}).setdefault(row["variant"], []).append(row)
    for (place, point), by_variant in kept.items():
        figures: Figures = {"repeats": {}, "empty": {}}
        for variant, answers in by_variant.items():
            long = [repeated(row["token_ids"]) for row in answers if len(row["token_ids"]) >= SHORTEST]
            if long:
                figures["repeats"][variant] = sum(long) / len(long)
            figures["empty"][variant] = sum(not row["text"].strip() for row in answers) / len(answers)
        yield place, point, figures


def _of_scores(scores: Table) -> Iterator[tuple[Scored, Point, Figures]]:
    """What `delta_nll` has found, where it was asked for."""
    for name, rows in scores.select(metric="delta_nll").evaluations.items():
        for at in rows.points.values():
            for data, own in at.by("data").items():
                known = {row.variant: row.mean for row in own if row.mean is not None}
                yield (name, data), tuple(own[0].at.items()), {"nats": known}


def _past(figures: Figures, point: Point) -> Iterator[Sign]:
    """The steer's figures that are past their limits where the unsteered model's are not."""
    for kind, by_variant in figures.items():
        limit, most = LIMITS[kind]
        base = by_variant.get(BASELINE)
        for variant, figure in by_variant.items():
            if variant not in HELD_AGAINST and base is not None and figure >= limit and base <= most:
                yield Sign(kind, variant, figure, base, by_variant.get(RANDOM), point)


def _sentence(place: Scored, signs: Sequence[Sign], points: int) -> str:
    """The worst of each kind of sign, and at how many points of a sweep there is any."""
    worst = [max((s for s in signs if s.kind == kind), key=lambda s: s.figure, default=None) for kind in LIMITS]
    shown = [sign for sign in worst if sign is not None]
    at = ""
    if shown[0].point:
        broken = len({sign.point for sign in signs})
        at = f" at {broken} of {points} points, most at {said(dict(shown[0].point))}"
    if any(sign.random is None for sign in shown):
        why = "no random control shows whether the strength does it or the direction"
    else:
        too = any(sign.random is not None and sign.random >= TOO * LIMITS[sign.kind][0] for sign in shown)
        why = "random directions break it too: lower the strength" if too else "this direction does it"
    told = "; ".join(map(_figure, shown))
    return f"{place[0]}, {place[1]}: `{shown[0].steer}` breaks the model{at}: {told}; {why}"


def _figure(sign: Sign) -> str:
    """One sign in words, with what it is compared with."""
    beside = f"unsteered {_number(sign, sign.base)}"
    if sign.random is not None:
        beside += f", random directions of the same norms {_number(sign, sign.random)}"
    return f"{SAID[sign.kind].format(_number(sign, sign.figure))} ({beside})"


def _number(sign: Sign, figure: float) -> str:
    return f"{figure:.1f}" if sign.kind == "nats" else f"{figure:.0%}"
