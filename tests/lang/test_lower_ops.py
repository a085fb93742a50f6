"""Operations and steers, value by value."""

from __future__ import annotations

import math

import pytest
from lowering import TOPIC, lowered, steps

from steerdsl.lang.recipe import (
    Condition,
    LayerChoice,
    LayerPoint,
    LayerRange,
    Layers,
    Mean,
    Op,
    PlaneRef,
    Steer,
    Stream,
    Strength,
    VectorRef,
)

NAMES = TOPIC + "other = extract lda from generic vs econ\nbest = select layers of topic\nturn = plane(topic, pc1)\n"
V, W, P = VectorRef("topic"), VectorRef("other"), PlaneRef("turn")
ABLATE = {"by": 1.0, "alpha": 0.0}
AT_12 = Layers((LayerPoint(12.0),))


def op(text: str) -> Op:
    (steer,) = steps(NAMES + text, Steer)
    assert isinstance(steer, Steer)
    (only,) = steer.ops
    return only


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ablate topic", Op("ablate", V, ABLATE)),
        ("ablate topic by 50%", Op("ablate", V, {"by": 0.5, "alpha": 0.0})),
        (
            "ablate topic toward mean(generic) with alpha: 1.5",
            Op("ablate", V, {"by": 1.0, "toward": Mean("generic"), "alpha": 1.5}),
        ),
        ("add topic by 40% at layer 12", Op("add", V, {"by": Strength(0.4, "share")}, AT_12)),
        ("add topic by -2 at layer 12", Op("add", V, {"by": Strength(-2.0, "raw")}, AT_12)),
        ("clamp topic to 12.5 at layer 12", Op("clamp", V, {"to": 12.5}, AT_12)),
        ("cap topic to -3 at layer 12", Op("cap", V, {"to": -3.0}, AT_12)),
        ("rotate turn by 210deg", Op("rotate", P, {"by": 210.0})),
        ("rotate turn to -0.25turn", Op("rotate", P, {"to": -90.0})),
        (
            "rotate turn to 30deg adaptive",
            Op("rotate", P, {"to": 30.0}, conditions=(Condition("proj", ">", 0.0),)),
        ),
        ('patch from "Why?" at layer 12', Op("patch", None, {"from": "Why?", "align": "end"}, AT_12)),
        ('patch from "Why?" with align: start', Op("patch", None, {"from": "Why?", "align": "start"})),
    ],
)
def test_own_clauses(text: str, value: Op) -> None:
    assert op(text) == value


def test_radians_become_degrees() -> None:
    assert op("rotate turn by 1.5rad").args["by"] == pytest.approx(1.5 * 180 / math.pi)


@pytest.mark.parametrize(
    ("clauses", "value"),
    [
        ("everywhere", Op("ablate", V, ABLATE, everywhere=True)),
        (
            "at layers 8..22 step 2",
            Op("ablate", V, ABLATE, Layers((LayerRange(LayerPoint(8.0), LayerPoint(22.0), 2),))),
        ),
        ("at layers best", Op("ablate", V, ABLATE, Layers((LayerChoice("best"),)))),
        ("on attn_out, mlp_out", Op("ablate", V, ABLATE, streams=(Stream("attn_out"), Stream("mlp_out")))),
        ("on head(3, 5)", Op("ablate", V, ABLATE, streams=(Stream("head", (3, 5)),))),
        ("during prompt", Op("ablate", V, ABLATE, phase="prompt")),
        ("during generation first 8 after 2", Op("ablate", V, ABLATE, phase="generation", first=8, after=2)),
        ("keep norm", Op("ablate", V, ABLATE, keep_norm=True)),
        (
            "when proj(other) > 0 when step <= 16",
            Op("ablate", V, ABLATE, conditions=(Condition("proj", ">", 0.0, W), Condition("step", "<=", 16.0))),
        ),
        (
            "when cos(other[4]) < -0.3 at layer 12 at layers 14",
            Op(
                "ablate",
                V,
                ABLATE,
                Layers((LayerPoint(14.0),)),
                conditions=(
                    Condition("cos", "<", -0.3, VectorRef("other", Layers((LayerPoint(4.0),))), LayerPoint(12.0)),
                ),
            ),
        ),
        (
            "when proj() >= 1 at layer best",
            Op("ablate", V, ABLATE, conditions=(Condition("proj", ">=", 1.0, None, LayerChoice("best")),)),
        ),
    ],
)
def test_where_and_when(clauses: str, value: Op) -> None:
    assert op(f"ablate topic {clauses}") == value


def test_operation_is_kept_as_written_on_one_line() -> None:
    assert op('patch from "a # b"  # why\n    at layer 12 # there').text == 'patch from "a # b" at layer 12'


def test_steers_are_put_in_where_they_are_used() -> None:
    text = """
steer one { ablate topic }
steer two { ablate other }
steer both { use two; rotate turn by 1deg; use one }
"""
    steer = lowered(NAMES + text).steps[-4]
    rotate = Op("rotate", P, {"by": 1.0})
    assert steer == Steer("both", (Op("ablate", W, ABLATE), rotate, Op("ablate", V, ABLATE)))


def test_operations_that_stand_alone_are_main_from_the_last_on() -> None:
    text = "ablate topic\nscores = evaluate other_way on econ\nsteer x { ablate other }\n".replace("other_way", "main")
    assert [type(step).__name__ for step in lowered(NAMES + text).steps[-3:]] == ["Steer", "Evaluate", "Steer"]
    kinds = [
        type(s).__name__ for s in lowered(NAMES + "ablate topic\nout = generate from econ\nablate other").steps[-2:]
    ]
    assert kinds == ["Generate", "Steer"]
