"""Sweeps are unrolled: one block of steps for each point, and names that are known afterwards."""

from __future__ import annotations

import math

import pytest
from lowering import TOPIC, codes, lowered, steps

from steerdsl.lang.recipe import (
    Check,
    Evaluate,
    Export,
    LayerPoint,
    Layers,
    Op,
    PlaneRef,
    Plot,
    Point,
    Steer,
    Strength,
    Sweep,
    VectorRef,
)

TURN = TOPIC + "turn = plane(topic, pc1)\n"


def sweep(text: str) -> Sweep:
    (found,) = steps(text, Sweep)
    assert isinstance(found, Sweep)
    return found


def test_two_axes_make_every_combination() -> None:
    text = (
        "sweep angle over 0deg..20deg step 10deg and depth over 25%,50% {\n    rotate turn to angle at layers depth\n}"
    )
    found = sweep(TURN + text + "\nout = generate from econ")
    assert (found.name, found.axes) == ("sweep_1", ("angle", "depth"))

    def point(angle: int, share: int) -> Point:
        op = Op("rotate", PlaneRef("turn"), {"to": float(angle)}, Layers((LayerPoint(share / 100, True),)))
        labels = {"angle": f"{angle}deg", "depth": f"{share}%"}
        return Point(labels, {"angle": float(angle), "depth": share / 100}, (Steer("main", (op,)),))

    assert found.points == tuple(point(angle, share) for angle in (0, 10, 20) for share in (25, 50))


@pytest.mark.parametrize(
    ("axis", "labels", "values"),
    [
        ("1..4", ["1", "2", "3", "4"], [1, 2, 3, 4]),
        ("0..1 step 0.1", [f"{i / 10:.12g}" for i in range(11)], [i / 10 for i in range(11)]),
        ("0deg..350deg step 100deg", ["0deg", "100deg", "200deg", "300deg"], [0, 100, 200, 300]),
        ("0deg..1turn step 180deg", ["0deg", "180deg", "360deg"], [0, 180, 360]),
        ("0rad,0.5turn", ["0rad", "0.5turn"], [0, 180]),
        ("10%..30% step 10%, 90%", ["10%", "20%", "30%", "90%"], [0.1, 0.2, 0.3, 0.9]),
        ("2 * 3", ["6"], [6]),
    ],
)
def test_values_of_an_axis(axis: str, labels: list[str], values: list[float]) -> None:
    found = sweep(TOPIC + f"sweep x over {axis} {{ ablate topic }}")
    assert [point.labels["x"] for point in found.points] == labels
    assert [point.values["x"] for point in found.points] == pytest.approx(values)


def test_angles_as_numbers_are_degrees() -> None:
    found = sweep(TURN + "sweep x over 1rad,2rad { rotate turn by x }")
    assert [point.values["x"] for point in found.points] == pytest.approx([180 / math.pi, 360 / math.pi])


def test_axis_stands_wherever_a_value_may() -> None:
    text = "sweep l over 4,8 { a = topic[l]; add a by 2 * l at layers l; generate from econ with max_tokens: l }"
    bind, steer, answers = sweep(TOPIC + text).points[1].steps
    assert bind.value == VectorRef("topic", Layers((LayerPoint(8.0),)))  # type: ignore[union-attr]
    assert steer.ops[0].args == {"by": Strength(16.0, "raw")}  # type: ignore[union-attr]
    assert answers.max_tokens == 8  # type: ignore[union-attr]


def test_points_have_the_same_names() -> None:
    text = "sweep x over 1,2 { rotate plane(topic, pc1) by 1deg; evaluate on econ }"
    found = sweep(TOPIC + text)
    names = [[step.name for step in point.steps] for point in found.points]  # type: ignore[union-attr]
    assert names == [["topic_layer", "main", "main_scores"]] * 2


def test_a_choice_made_before_is_used_in_each_point() -> None:
    found = sweep(TURN + "sweep x over 1,2 { rotate plane(topic, pc1) by 1deg }\nout = generate from econ")
    assert [[type(step) for step in point.steps] for point in found.points] == [[Steer], [Steer]]


def test_steers_of_each_point_are_scored_where_nothing_is() -> None:
    found = sweep(TURN + "sweep x over 0deg,90deg { rotate turn by x }")
    for point in found.points:
        steer, scores = point.steps
        assert isinstance(steer, Steer) and isinstance(scores, Evaluate)
        assert (scores.name, scores.steer, scores.implied) == ("main_scores", "main", True)
        assert [(ref.name, ref.split) for ref in scores.data] == [("econ", "held_out"), ("generic", "held_out")]


def test_names_are_known_after_the_sweep() -> None:
    text = """
sweep angle over 0deg..350deg step 10deg {
    rotate turn to angle
    scores = evaluate on econ with bleu
}
plot scores.bleu over angle polar to "a.png"
check scores.bleu.econ < 50
export main to "main/"
"""
    plot, check, export = lowered(TURN + text).steps[-3:]
    assert plot == Plot("scores", "scores.bleu", ("angle",), True, "a.png")
    assert isinstance(check, Check) and check.left.terms[0].path == ("scores", "bleu", "econ")
    assert export == Export("main", "steer", "main/")


def test_axes_may_have_one_name_in_two_sweeps() -> None:
    text = "sweep x over 1,2 { steer a { ablate topic } }\nsweep x over 3 { steer b { ablate topic } }"
    assert [s.name for s in steps(TOPIC + text, Sweep) if isinstance(s, Sweep)] == ["sweep_1", "sweep_2"]


def test_the_largest_sweep_is_allowed_and_no_larger_one() -> None:
    body = "{ steer a { ablate topic } }"
    assert len(sweep(TOPIC + f"sweep x over 1..100 and y over 1..100 {body}").points) == 10_000
    assert codes(TOPIC + f"sweep x over 1..100 and y over 1..101 {body}") == ["S412"]


def test_warnings_are_said_once() -> None:
    assert codes(TOPIC + "sweep x over 1,2,3 { add topic by x; evaluate on econ.train }") == ["S451", "S450"]
