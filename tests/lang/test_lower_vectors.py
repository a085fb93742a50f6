"""Vectors, planes, layers and selections, value by value."""

from __future__ import annotations

import pytest
from lowering import TOPIC, lowered, steps

from steerdsl.lang.recipe import (
    Bind,
    LayerChoice,
    LayerPoint,
    LayerRange,
    Layers,
    Orthogonal,
    PlaneExpr,
    Select,
    Steer,
    Step,
    VectorRef,
    VectorSum,
)

TWO = TOPIC + "style = extract lda from generic vs econ\n"
CHOICE = TWO + "best = select layers of topic keep top 3\n"


def bound(text: str) -> object:
    """What the last binding of `x` holds."""
    step = [s for s in steps(TWO + text, Bind) if isinstance(s, Bind) and s.name == "x"][-1]
    assert isinstance(step, Bind)
    return step.value


TOPIC_REF, STYLE_REF = VectorRef("topic"), VectorRef("style")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("topic", TOPIC_REF),
        ("topic[16]", VectorRef("topic", Layers((LayerPoint(16.0),)))),
        ("topic - 0.5 * style", VectorSum(((1.0, TOPIC_REF), (-0.5, STYLE_REF)))),
        ("-(topic - 2 * style) * 3", VectorSum(((-3.0, TOPIC_REF), (6.0, STYLE_REF)))),
        ("topic - (topic - style)", VectorSum(((1.0, TOPIC_REF), (-1.0, TOPIC_REF), (1.0, STYLE_REF)))),
        ("orthogonalize topic against style", Orthogonal(TOPIC_REF, STYLE_REF)),
    ],
)
def test_vector(expression: str, value: object) -> None:
    assert bound(f"x = {expression}") == value


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("6,16,22", (LayerPoint(6.0), LayerPoint(16.0), LayerPoint(22.0))),
        ("all", ()),
        ("last", (LayerPoint(1.0, True),)),
        ("8..22", (LayerRange(LayerPoint(8.0), LayerPoint(22.0), 1),)),
        ("8..last step 2", (LayerRange(LayerPoint(8.0), LayerPoint(1.0, True), 2),)),
        ("25%..75%, 3", (LayerRange(LayerPoint(0.25, True), LayerPoint(0.75, True), 1), LayerPoint(3.0))),
        ("best", (LayerChoice("best"),)),
        ("best, 2 * 4", (LayerChoice("best"), LayerPoint(8.0))),
    ],
)
def test_layers(text: str, items: tuple[object, ...]) -> None:
    (steer,) = steps(CHOICE + f"ablate topic at layers {text}; ablate topic[{text}] everywhere", Steer)
    assert isinstance(steer, Steer)
    assert steer.ops[0].layers == Layers(items)  # type: ignore[arg-type]
    assert steer.ops[1].operand == VectorRef("topic", Layers(items))  # type: ignore[arg-type]


def implied_choice(vector: str) -> Step:
    return Select(f"{vector}_layer", vector, "dispersion", 1, Layers(), {"deepest": 0.2}, implied=True)


def test_plane_with_every_option() -> None:
    plane = bound("x = plane(topic[16], random, seed: 3, candidates: samples) from layers 25%..75% with rows: raw")
    layers = Layers((LayerRange(LayerPoint(0.25, True), LayerPoint(0.75, True)),))
    first = VectorRef("topic", Layers((LayerPoint(16.0),)))
    assert plane == PlaneExpr(first, "random", layers, "raw", "samples", None, {"seed": 3})


def test_plane_without_a_layer_chooses_one_for_each_vector_once() -> None:
    recipe = lowered(TWO + "a = plane(topic, pc1)\nb = plane(style, topic)\nc = plane(topic, last2pc)")
    assert recipe.steps[2:] == (
        implied_choice("topic"),
        Bind("a", PlaneExpr(TOPIC_REF, "pc1", first_layer=LayerChoice("topic_layer"))),
        implied_choice("style"),
        Bind(
            "b",
            PlaneExpr(
                STYLE_REF,
                VectorRef("topic", Layers((LayerChoice("topic_layer"),))),
                first_layer=LayerChoice("style_layer"),
            ),
        ),
        Bind("c", PlaneExpr(TOPIC_REF, "last2pc", first_layer=LayerChoice("topic_layer"))),
    )


def test_plane_of_directions_that_have_their_layer() -> None:
    plane = bound("one = topic[16] - style[12]\nx = plane(one, style[4])")
    assert plane == PlaneExpr(VectorRef("one"), VectorRef("style", Layers((LayerPoint(4.0),))))


def test_a_choice_of_one_layer_can_be_an_axis() -> None:
    text = "only = select layers of topic keep top 1\nx = plane(topic[only], pc1)"
    assert bound(text) == PlaneExpr(VectorRef("topic", Layers((LayerChoice("only"),))), "pc1")


def test_another_name_for_a_plane() -> None:
    assert bound("turn = plane(topic[16], pc1)\nx = turn") == bound("x = plane(topic[16], pc1)")


def test_select_with_every_clause() -> None:
    text = "best = select layers of topic by dispersion keep top 3 from layers 4..last with deepest: 10%"
    (select,) = steps(TOPIC + text, Select)
    layers = Layers((LayerRange(LayerPoint(4.0), LayerPoint(1.0, True)),))
    assert select == Select("best", "topic", "dispersion", 3, layers, {"deepest": 0.1})


def test_select_says_its_defaults() -> None:
    (select,) = steps(TOPIC + "best = select layers of topic by refusal_selection", Select)
    options = {"tokens": "I", "max_kl": 0.1, "min_induce": 0.0, "deepest": 0.2}
    assert select == Select("best", "topic", "refusal_selection", 1, Layers(), options)
