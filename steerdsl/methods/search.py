"""Search for the point of a few ranges where a score is best and every limit holds, batch by batch.

In: the axes, and after each batch what its points gave. Out: the next points, the best one, and the range of an axis
in which the score is nearly as good. The first batch is spread over the ranges; then batches that TPE chooses
(Bergstra et al. 2011, doi:10.5555/2986459.2986743; Optuna's, which knows the limits) take turns with batches along the
line through the best point so far. What is asked depends on the seed, the size of a batch and the answers so far, and
not on how many trials there will be: more trials only add trials.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NEAR = 0.1  # a score within a tenth of the best one is nearly as good
LISTED = 10_000  # points of a space that are gone through one by one

Place = tuple[int, ...]  # a point, by the place of its value on each axis


@dataclass(frozen=True, slots=True)
class SearchAxis:
    """`count` values from `low` on, `step` apart. `line`: its values are numbers in an order that a line goes along;
    layers are not."""

    name: str
    low: float
    step: float
    count: int
    line: bool = True

    def value(self, place: int) -> float:
        """The value at a place, rounded to what the step can tell."""
        return round(self.low + place * self.step, 9)

    def place(self, value: float) -> int:
        """The place of a value."""
        return round((value - self.low) / self.step)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A point and what it gave. `goal` is None where there is no figure; `over` says by how much each limit is
    broken, 0 or less where it holds, None where there is no figure; `holds` whether each does."""

    at: Mapping[str, float]
    goal: float | None
    over: tuple[float | None, ...] = ()
    holds: tuple[bool, ...] = ()
    why: str | None = None

    @property
    def feasible(self) -> bool:
        """Whether it has a score and keeps every limit."""
        return self.goal is not None and all(self.holds)

    @property
    def broken(self) -> float:
        """How far it is from keeping its limits; infinite where that is not known."""
        if self.goal is None or any(o is None for o in self.over):
            return math.inf
        return sum(o for o, held in zip(self.over, self.holds, strict=True) if o is not None and not held)


@dataclass(frozen=True, slots=True)
class WorkingRange:
    """The interval of an axis, through the best point, in which every trial is nearly as good and keeps its limits.
    `trials` of them; `below` and `above` are the trials beside it, None where the axis ends."""

    axis: str
    low: float
    high: float
    trials: int
    below: Attempt | None
    above: Attempt | None


def best(trials: Sequence[Attempt], maximize: bool) -> Attempt | None:
    """The best trial that keeps its limits, the first of equals; None where none does."""
    kept = [t for t in trials if t.feasible]
    return max(kept, key=lambda t: _rank(t, maximize), default=None)


def nearest(trials: Sequence[Attempt]) -> list[Attempt]:
    """The trials that have a score, those that break their limits least first."""
    return sorted((t for t in trials if t.broken < math.inf), key=lambda t: t.broken)


def good(trial: Attempt, top: Attempt, maximize: bool) -> bool:
    """Whether a trial keeps its limits and is within a tenth of the best score."""
    if not trial.feasible or trial.goal is None or top.goal is None:
        return False
    short = top.goal - trial.goal if maximize else trial.goal - top.goal
    return short <= NEAR * abs(top.goal) + 1e-12


def working_range(trials: Sequence[Attempt], top: Attempt, axis: str, maximize: bool) -> WorkingRange:
    """The interval of one axis around the best point, its other axes as there."""
    line = sorted(_line(trials, top, axis), key=lambda t: t.at[axis])
    start = stop = next(i for i, t in enumerate(line) if t.at == top.at)
    while start > 0 and good(line[start - 1], top, maximize):
        start -= 1
    while stop + 1 < len(line) and good(line[stop + 1], top, maximize):
        stop += 1
    below = line[start - 1] if start else None
    above = line[stop + 1] if stop + 1 < len(line) else None
    return WorkingRange(axis, line[start].at[axis], line[stop].at[axis], stop - start + 1, below, above)


def _line(trials: Sequence[Attempt], top: Attempt, axis: str) -> list[Attempt]:
    others = [name for name in top.at if name != axis]
    return [t for t in trials if all(t.at[name] == top.at[name] for name in others)]


def _rank(trial: Attempt, maximize: bool) -> float:
    assert trial.goal is not None
    return trial.goal if maximize else -trial.goal


@dataclass(slots=True)
class Search:
    """Asks for points and is told what they gave. Needs Optuna."""

    axes: Sequence[SearchAxis]
    maximize: bool
    batch: int
    seed: int
    trials: list[Attempt] = field(default_factory=list)
    _study: Any = None
    _batches: int = 0
    _asked: dict[Place, Any] = field(default_factory=dict)
    _chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that multivariate TPE and its limits may still change
            sampler = optuna.samplers.TPESampler(
                seed=self.seed,
                n_startup_trials=0,
                multivariate=True,
                constant_liar=True,
                constraints_func=lambda trial: trial.user_attrs["over"],
            )
        self._study = optuna.create_study(direction="maximize" if self.maximize else "minimize", sampler=sampler)
        self._chance = random.Random(self.seed)

    def ask(self, most: int) -> list[dict[str, float]]:
        """The next points, at most so many and no more than a batch; none once every point has been tried."""
        number, self._batches = self._batches, self._batches + 1
        wanted: list[Place] = []
        if number == 0:
            wanted = list(self._spread())
        elif number % 2 == 0:
            wanted = self._around(number // 2 - 1)
        found: list[Place] = []
        for place in itertools.chain(wanted, itertools.repeat(None, self.batch)):
            if len(found) < self.batch and (fresh := self._fresh(place)) is not None:
                found.append(fresh)
        return [{a.name: a.value(i) for a, i in zip(self.axes, place, strict=True)} for place in found[:most]]

    def tell(self, made: Sequence[Attempt]) -> None:
        """What the points that were asked last gave, in their order."""
        from optuna.trial import TrialState

        for trial in made:
            asked = self._asked[self._place(trial)]
            over = [self._over(trial, i) for i in range(len(trial.over))]
            asked.set_user_attr("over", over)
            if trial.goal is None:
                self._study.tell(asked, state=TrialState.FAIL)
            else:
                self._study.tell(asked, trial.goal)
            self.trials.append(trial)

    def _over(self, trial: Attempt, i: int) -> float:
        """A limit as Optuna wants it: above 0 where it is broken."""
        over = trial.over[i]
        if trial.holds[i]:
            return min(over or 0.0, 0.0)
        return 1e6 if over is None else max(over, 1e-9)

    def _place(self, trial: Attempt) -> Place:
        return tuple(a.place(trial.at[a.name]) for a in self.axes)

    def _fresh(self, place: Place | None) -> Place | None:
        """A point that has not been asked for: `place`, else what TPE says, else one near it; None where there is
        none left."""
        if place is not None and place in self._asked:
            return None
        trial = self._ask(place)
        found = tuple(int(trial.params[a.name]) for a in self.axes)
        while found in self._asked:
            self._study.tell(trial, state=self._failed())
            other = self._untried(found)
            if other is None:
                return None
            trial, found = self._ask(other), other
        self._asked[found] = trial
        return found

    def _ask(self, place: Place | None) -> Any:
        import optuna

        if place is not None:
            self._study.enqueue_trial({a.name: i for a, i in zip(self.axes, place, strict=True)})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ranges = {a.name: optuna.distributions.IntDistribution(0, a.count - 1) for a in self.axes}
            return self._study.ask(ranges)

    def _failed(self) -> Any:
        from optuna.trial import TrialState

        return TrialState.FAIL

    def _untried(self, near: Place) -> Place | None:
        """A point near this one that has not been asked for."""
        if math.prod(a.count for a in self.axes) <= LISTED:
            every = itertools.product(*(range(a.count) for a in self.axes))
            left = (place for place in every if place not in self._asked)
            return min(left, key=lambda place: self._distance(place, near), default=None)
        while True:
            moved = (i + self._chance.randint(-9, 9) for i in near)
            place = tuple(min(max(i, 0), a.count - 1) for i, a in zip(moved, self.axes, strict=True))
            if place not in self._asked:
                return place

    def _distance(self, one: Place, other: Place) -> float:
        return sum(((i - j) / a.count) ** 2 for i, j, a in zip(one, other, self.axes, strict=True))

    def _spread(self) -> Iterator[Place]:
        """Points that fill the ranges evenly, from a place that the seed chooses: a Kronecker sequence."""
        ratio = 2.0  # the root of x^(d+1) = x + 1
        for _ in range(64):
            ratio = (1 + ratio) ** (1 / (len(self.axes) + 1))
        shift = [self._chance.random() for _ in self.axes]
        for i in range(1, self.batch + 1):
            parts = ((s + i / ratio ** (k + 1)) % 1 for k, s in enumerate(shift))
            yield tuple(int(part * a.count) for part, a in zip(parts, self.axes, strict=True))

    def _around(self, turn: int) -> list[Place]:
        """Points around the best so far: the layers next to it, then a line through it. With several axes the lines
        take turns."""
        top = best(self.trials, self.maximize) or next(iter(nearest(self.trials)), None)
        if top is None:
            return []
        at = self._place(top)
        layers = [(k, i) for k, a in enumerate(self.axes) for i in (at[k] - 1, at[k] + 1) if not a.line]
        beside = [(*at[:k], i, *at[k + 1 :]) for k, i in layers if 0 <= i < self.axes[k].count]
        beside = [place for place in beside if place not in self._asked]
        lines = [k for k, a in enumerate(self.axes) if a.line]
        return beside + (self._along(top, lines[turn % len(lines)], self.batch - len(beside)) if lines else [])

    def _along(self, top: Attempt, which: int, count: int) -> list[Place]:
        """Points on a line through the best one, evenly between the trials beside it that are not good."""
        axis, at = self.axes[which], self._place(top)
        bad = [t for t in _line(self.trials, top, axis.name) if not good(t, top, self.maximize) and t.at != top.at]
        places = [self._place(t)[which] for t in bad]
        start = max((i for i in places if i < at[which]), default=-1)
        stop = min((i for i in places if i > at[which]), default=axis.count)
        gap = (stop - start) / (count + 1)
        wanted = [start + round(gap * k) for k in range(1, count + 1)]
        return [(*at[:which], i, *at[which + 1 :]) for i in dict.fromkeys(wanted) if start < i < stop]
