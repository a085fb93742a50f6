"""The one-liner, value by value: what it leaves out is filled in."""

from __future__ import annotations

from lowering import lowered

from steerdsl.lang.recipe import (
    DataRef,
    DataSpec,
    Evaluate,
    Extract,
    LayerChoice,
    LayerPoint,
    Layers,
    MetricCall,
    ModelSpec,
    Op,
    PlaneExpr,
    Position,
    Recipe,
    Select,
    Steer,
    Stream,
    VectorRef,
)

TEXT = "extract diffmean from econ vs generic at last_token; ablate layers 6,16,22; rotate plane(pc1) by 210deg"

EXTRACT = Extract(
    "vector",
    "diffmean",
    DataRef("econ", "train", None, "directions and layers see `train`"),
    DataRef("generic", "train", None, "directions and layers see `train`"),
    Position("last_token"),
    Stream("resid_post"),
    {},
    implied=True,
)
SELECT = Select("vector_layer", "vector", "dispersion", 1, Layers(), {"deepest": 0.2}, implied=True)
ABLATE = Op(
    "ablate",
    VectorRef("vector"),
    {"by": 1.0, "alpha": 0.0},
    Layers((LayerPoint(6.0), LayerPoint(16.0), LayerPoint(22.0))),
)
ROTATE = Op(
    "rotate",
    PlaneExpr(VectorRef("vector"), "pc1", Layers(), "unit", "layers", LayerChoice("vector_layer")),
    {"by": 210.0},
)
EVALUATE = Evaluate(
    "main_scores",
    "main",
    (DataRef("econ", "held_out", None, "fitted on it"), DataRef("generic", "held_out", None, "fitted on it")),
    (MetricCall("bleu"), MetricCall("rouge_1"), MetricCall("rouge_l")),
    {"max_tokens": 64, "temperature": 0.0, "seed": 0, "references": 4, "controls": "all", "draws": 5, "part": "answer"},
    implied=True,
)


def test_the_whole_recipe() -> None:
    assert lowered(TEXT) == Recipe(
        edition=1,
        model=ModelSpec(None, None, None, None, "chat"),
        data={"econ": DataSpec("econ", "builtin", "econ"), "generic": DataSpec("generic", "builtin", "generic")},
        steps=(EXTRACT, SELECT, Steer("main", (ABLATE, ROTATE)), EVALUATE),
        params={},
    )


def test_operations_keep_their_text_and_place() -> None:
    steer = lowered(TEXT).steps[2]
    assert isinstance(steer, Steer)
    assert [op.text for op in steer.ops] == ["ablate layers 6,16,22", "rotate plane(pc1) by 210deg"]
    assert [TEXT[op.span.start : op.span.end] for op in steer.ops] == [op.text for op in steer.ops]


def test_the_same_with_names() -> None:
    named = lowered(
        "topic = extract diffmean from econ vs generic at last_token\n"
        "ablate topic at layers 6,16,22\n"
        "rotate plane(topic, pc1) by 210deg\n"
    )
    select, steer = named.steps[1:3]
    assert select == Select("topic_layer", "topic", "dispersion", 1, Layers(), {"deepest": 0.2}, implied=True)
    assert isinstance(steer, Steer)
    assert [op.layers for op in steer.ops] == [ABLATE.layers, Layers()]


def test_the_only_bound_vector_is_meant_too() -> None:
    implied = lowered("topic = extract diffmean from econ vs generic\nablate everywhere").steps[1]
    assert implied == Steer("main", (Op("ablate", VectorRef("topic"), {"by": 1.0, "alpha": 0.0}, everywhere=True),))


def test_invented_names_avoid_those_of_the_recipe() -> None:
    steps = lowered("extract diffmean from econ vs generic\nrotate plane(pc1) by 1turn\nparam vector = 3%").steps
    assert [step.name for step in steps if isinstance(step, Extract | Select)] == ["vector_2", "vector_2_layer"]
