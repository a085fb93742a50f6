"""The search on functions whose best point is known, its order, and what it says of the trials."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping

import pytest

from steerdsl.methods.search import Attempt, Search, SearchAxis, best, nearest, working_range

LAYERS, STRENGTH = SearchAxis("depth", 0, 1, 18, line=False), SearchAxis("strength", 0, 0.001, 4001)
Gives = Callable[[Mapping[str, float]], Attempt]


def searched(gives: Gives, axes: tuple[SearchAxis, ...], seed: int, trials: int = 40, maximize: bool = True) -> Search:
    search = Search(axes, maximize, 8, seed)
    while len(search.trials) < trials and (points := search.ask(trials - len(search.trials))):
        search.tell([gives(at) for at in points])
    return search


def inverted_u(top: float, layer: int | None = None) -> Gives:
    """A score with its top of 1 at a strength, and at a layer."""

    def gives(at: Mapping[str, float]) -> Attempt:
        away = 1.0 if layer is None else math.exp(-(((at["depth"] - layer) / 3) ** 2))
        return Attempt(at, max(0.0, 1 - (at["strength"] - top) ** 2) * away)

    return gives


@pytest.mark.parametrize("seed", range(20))
def test_the_top_is_found_on_one_axis_and_on_two(seed: int) -> None:
    chance = random.Random(seed)
    top, layer = chance.uniform(0.3, 3.7), chance.randrange(18)
    one = best(searched(inverted_u(top), (STRENGTH,), seed).trials, True)
    assert one is not None and abs(one.at["strength"] - top) <= 0.05 * 4
    two = best(searched(inverted_u(top, layer), (LAYERS, STRENGTH), seed).trials, True)
    assert two is not None and two.at["depth"] == layer and two.goal is not None and two.goal >= 0.95


@pytest.mark.parametrize("seed", range(20))
def test_a_top_outside_the_limits_is_never_chosen(seed: int) -> None:
    """The score rises up to the planted top, and the limit holds below it."""
    limit = random.Random(seed).uniform(0.5, 3.0)

    def gives(at: Mapping[str, float]) -> Attempt:
        over = at["strength"] - limit
        return Attempt(at, 10.0 if at["strength"] > 3.5 else at["strength"], (over,), (over < 0,))

    found = searched(gives, (STRENGTH,), seed)
    top = best(found.trials, True)
    assert any(t.at["strength"] > 3.5 for t in found.trials) and top is not None
    assert top.feasible and limit - 0.05 * 4 <= top.at["strength"] < limit


@pytest.mark.parametrize("maximize", [True, False])
def test_a_seed_gives_one_order_and_more_trials_only_add_some(maximize: bool) -> None:
    sign = 1 if maximize else -1

    def gives(at: Mapping[str, float]) -> Attempt:
        made = inverted_u(1.7, 5)(at)
        assert made.goal is not None
        return Attempt(at, sign * made.goal)

    runs = [searched(gives, (LAYERS, STRENGTH), 3, trials, maximize).trials for trials in (11, 24, 40)]
    for few, more in itertools.pairwise(runs):
        assert more[: len(few)] == few
    assert runs[-1] != searched(gives, (LAYERS, STRENGTH), 4, 40, maximize).trials
    assert len({tuple(t.at.values()) for t in runs[-1]}) == 40


def test_a_small_space_is_gone_through_once() -> None:
    axes = (SearchAxis("depth", 4, 1, 5, line=False),)
    trials = searched(lambda at: Attempt(at, -abs(at["depth"] - 7)), axes, 0, 40).trials
    assert sorted(t.at["depth"] for t in trials) == [4, 5, 6, 7, 8]
    assert len(searched(lambda at: Attempt(at, None), axes, 0, 40).trials) == 5


def test_trials_without_a_figure_are_not_chosen() -> None:
    def gives(at: Mapping[str, float]) -> Attempt:
        if at["strength"] > 1:
            return Attempt(at, None, (None,), (False,), why="not finite")
        return (
            Attempt(at, at["strength"], (None,), (False,)) if at["strength"] > 0.5 else Attempt(at, 0.1, (-1,), (True,))
        )

    trials = searched(gives, (STRENGTH,), 0).trials
    top = best(trials, True)
    assert top is not None and top.at["strength"] <= 0.5
    assert all(t.at["strength"] <= 0.5 for t in nearest(trials))


def attempt(strength: float, goal: float | None, over: float = -1.0, depth: float = 3) -> Attempt:
    return Attempt({"depth": depth, "strength": strength}, goal, (over,), (over < 0,))


@pytest.mark.parametrize(("sign", "maximize"), [(1, True), (-1, False)])
def test_the_working_range_is_the_interval_around_the_best(sign: int, maximize: bool) -> None:
    goals = [(0, 5), (1, 8.9), (1.5, 9.0), (2, 9.5), (2.5, 10), (3, 9.1), (4, 9.9)]
    trials = [attempt(s, sign * g, 0.1 if s == 4 else -1) for s, g in goals]
    trials += [attempt(1.2, sign * 1, depth=4), attempt(3.5, None, depth=4)]
    random.Random(0).shuffle(trials)
    top = best(trials, maximize)
    assert top is not None and top.at["strength"] == 2.5
    found = working_range(trials, top, "strength", maximize)
    assert (found.low, found.high, found.trials) == (1.5, 3, 4)
    assert found.below is not None and found.below.at["strength"] == 1
    assert found.above is not None and found.above.at["strength"] == 4
    alone = working_range([top], top, "strength", maximize)
    assert (alone.low, alone.high, alone.below, alone.above) == (2.5, 2.5, None, None)


def test_a_tenth_is_a_tenth_of_the_size_of_the_best() -> None:
    trials = [attempt(s, g) for s, g in ((1, -12.0), (2, -11.0), (3, -10.0), (4, -11.5))]
    top = best(trials, True)
    assert top is not None
    found = working_range(trials, top, "strength", True)
    assert (found.low, found.high) == (2, 3)


def test_the_nearest_break_their_limits_least() -> None:
    trials = [attempt(1, 5, 3.0), attempt(2, 1, 0.2), attempt(3, None, 0.1), attempt(4, 9, 0.5)]
    assert best(trials, True) is None
    assert [t.at["strength"] for t in nearest(trials)] == [2, 4, 1]
