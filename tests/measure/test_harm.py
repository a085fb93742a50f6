"""When a run says that its steer breaks the model: on answers and scores made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from steerdsl.measure.harm import repeated, warnings
from steerdsl.measure.table import Table, of_json

GOOD, STUCK = list(range(40)), [5, 6] * 20


def rows(steer: list[int], base: list[int], random: list[int] | None, **more: Any) -> list[dict[str, Any]]:
    texts = {"baseline": base, "s": steer, **({} if random is None else {"random": random})}
    return [
        {"step": "scores", "dataset": "a", "variant": v, "token_ids": ids, "text": "said" if ids else " ", **more}
        for v, ids in texts.items()
    ] * 5


def nats(steer: float | None, base: float, random: float, at: dict[str, str] | None = None) -> Table:
    table = {"delta_nll": {"a": {v: {"mean": x} for v, x in (("baseline", base), ("s", steer), ("random", random))}}}
    return of_json({"scores": table if at is None else {"points": [{"at": at, "scores": table}]}})


def test_runs_that_repeat() -> None:
    assert repeated(GOOD) == 0
    assert repeated(STUCK) == pytest.approx(35 / 37)  # two different runs of 37
    assert repeated([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)


@pytest.mark.parametrize(
    ("steer", "base", "random", "said"),
    [
        (GOOD, GOOD, GOOD, None),
        (STUCK, GOOD, STUCK, "random directions break it too: lower the strength"),
        (STUCK, GOOD, GOOD, "this direction does it"),
        (STUCK, GOOD, None, "no random control shows whether the strength does it or the direction"),
        (STUCK, STUCK, STUCK, None),  # the model does so by itself
        (GOOD, GOOD, STUCK, None),
        ([1] * 7, GOOD, GOOD, None),  # too short to say
        ([], GOOD, [], "random directions break it too: lower the strength"),
    ],
)
def test_a_steer_whose_answers_break(steer: list[int], base: list[int], random: list[int], said: str | None) -> None:
    found = warnings(rows(steer, base, random), Table())
    assert len(found) == (said is not None)
    if said is not None:
        assert found[0].startswith("scores, a: `s` breaks the model: ") and found[0].endswith(said)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ((6.8, 0.0, 6.1), "the unsteered answers cost 6.8 nats a token more (unsteered 0.0, random directions of the"),
        ((3.8, 0.0, 0.4), "this direction does it"),
        ((1.0, 0.0, 0.3), None),
        ((None, 0.0, 0.3), None),
    ],
)
def test_nats(figures: tuple[float, float, float], said: str | None) -> None:
    found = warnings([], nats(*figures))
    assert len(found) == (said is not None) and all(said in text for text in found if said)


def test_all_signs_of_a_steer_are_one_sentence() -> None:
    """One sign of which random directions have much is enough."""
    (found,) = warnings(rows(STUCK, GOOD, GOOD), nats(5.6, 0.0, 2.8))
    assert "repeat earlier ones (unsteered 0%" in found and "5.6 nats a token more (unsteered 0.0" in found
    assert found.endswith("random directions break it too: lower the strength")


def test_withheld_answers_and_references_are_not_looked_at() -> None:
    assert warnings(rows([], GOOD, [], withheld=True), Table()) == []
    assert warnings([{**row, "variant": "reference"} for row in rows(STUCK, STUCK, STUCK)], Table()) == []


def test_points_of_a_sweep_are_one_sentence() -> None:
    lines = [
        line for power in (1, 2, 3) for line in rows(GOOD if power < 2 else STUCK, GOOD, GOOD, point={"x": str(power)})
    ]
    (found,) = warnings(lines, Table())
    assert found.startswith("scores, a: `s` breaks the model at 2 of 3 points, most at x 2: 95% of the runs")
