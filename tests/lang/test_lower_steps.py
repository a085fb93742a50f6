"""Extractions, answers, scores, claims, pictures and files, value by value."""

from __future__ import annotations

import pytest
from lowering import TOPIC, lowered, steps

from steerdsl.lang.recipe import (
    Check,
    DataRef,
    Evaluate,
    Export,
    Extract,
    Figure,
    Generate,
    LayerChoice,
    LayerPoint,
    Layers,
    Load,
    MetricCall,
    Plot,
    Position,
    Steer,
    Step,
    Stream,
    Term,
)

STEERED = TOPIC + "steer forgetful { ablate topic everywhere }\n"
SCORED = STEERED + "scores = evaluate forgetful on econ, generic with bleu, rouge_l\n"
CHOSEN = "best = select layers of topic by dispersion\n"
GREEDY = {
    "max_tokens": 64,
    "temperature": 0.0,
    "seed": 0,
    "references": 4,
    "controls": "all",
    "draws": 5,
    "part": "answer",
}
HELD_OUT = tuple(DataRef(name, "held_out", None, "fitted on it") for name in ("econ", "generic"))
TRAIN = tuple(DataRef(name, "train", None, "directions and layers see `train`") for name in ("econ", "generic"))


def last(text: str) -> Step:
    return lowered(text).steps[-1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "v = extract probe from econ vs generic at token -2 on head(3, 5) with C: 0.5",
            Extract("v", "probe", *TRAIN, Position("token", -2), Stream("head", (3, 5)), {"C": 0.5}),
        ),
        (
            "v = extract iterative from econ vs generic at suffix 5",
            Extract("v", "iterative", *TRAIN, Position("suffix", 5), options={"k": 3, "stop": 0.1}),
        ),
        ("v = extract diffmean from econ vs generic at suffix", Extract("v", "diffmean", *TRAIN, Position("suffix"))),
        ("v = extract random", Extract("v", "random", None, None, options={"seed": 0})),
        (
            'v = extract sae with file: "a/../sae.safetensors", feature: 31, layer: 12',
            Extract(
                "v",
                "sae",
                None,
                None,
                options={"file": "sae.safetensors", "feature": 31, "layer": 12, "tensor": "W_dec"},
            ),
        ),
        ('v = load "old/v.gguf"', Load("v", "old/v.gguf")),
        ('v = load "mean_diffs.pt" at token -2', Load("v", "mean_diffs.pt", Position("token", -2))),
    ],
)
def test_vectors_from_data_and_files(text: str, value: Step) -> None:
    assert last(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("out = generate from econ", Generate("out", HELD_OUT[0])),
        (
            "out = generate from econ with steer: forgetful, max_tokens: 9, temperature: 0.7, n: 4, seed: 1",
            Generate("out", HELD_OUT[0], "forgetful", 9, 0.7, 4, 1),
        ),
        ("generate from econ", Generate("baseline_answers", HELD_OUT[0])),
        ("generate from econ with steer: forgetful", Generate("forgetful_answers", HELD_OUT[0], "forgetful")),
        (
            's = evaluate forgetful on econ with kl, keyword_rate("econ"), script_share(greek), controls: none',
            Evaluate(
                "s",
                "forgetful",
                HELD_OUT[:1],
                (
                    MetricCall("kl"),
                    MetricCall("keyword_rate", {"words": "econ"}),
                    MetricCall("script_share", {"script": "greek"}),
                ),
                {**GREEDY, "controls": "none"},
            ),
        ),
        (
            'evaluate on generic with keyword_rate(["tax", "trade"])',
            Evaluate(
                "forgetful_scores",
                "forgetful",
                HELD_OUT[1:],
                (MetricCall("keyword_rate", {"words": ("tax", "trade")}),),
                GREEDY,
            ),
        ),
        (
            "evaluate",
            Evaluate(
                "forgetful_scores",
                "forgetful",
                HELD_OUT,
                (MetricCall("bleu"), MetricCall("rouge_1"), MetricCall("rouge_l")),
                GREEDY,
            ),
        ),
    ],
)
def test_answers_and_scores(text: str, value: Step) -> None:
    assert last(STEERED + text) == value


def test_each_steer_is_scored_where_nothing_is() -> None:
    found = steps(STEERED + "steer other { ablate topic by 50% }", Evaluate)
    assert [(s.name, s.steer, s.data, s.implied) for s in found if isinstance(s, Evaluate)] == [
        ("forgetful_scores", "forgetful", HELD_OUT, True),
        ("other_scores", "other", HELD_OUT, True),
    ]


def test_nothing_is_scored_beside_what_is_said() -> None:
    assert steps(STEERED + "out = generate from econ", Evaluate) == []


BLEU, GENERIC = ("scores", "bleu", "econ"), ("scores", "bleu", "generic")


def control(name: str, share: float = 1.0) -> Figure:
    return Figure((Term(BLEU, share, name),))


@pytest.mark.parametrize(
    ("text", "left", "op", "right"),
    [
        ("scores.bleu.econ < 50", Figure((Term(BLEU),)), "<", Figure((), 50.0)),
        ("scores.bleu.econ <= 50% of baseline", Figure((Term(BLEU),)), "<=", control("baseline", 0.5)),
        ("baseline > scores.bleu.econ", control("baseline"), ">", Figure((Term(BLEU),))),
        ("scores.bleu.econ < random", Figure((Term(BLEU),)), "<", control("random")),
        ("200% of prompted >= scores.bleu.econ", control("prompted", 2.0), ">=", Figure((Term(BLEU),))),
        ("scores.bleu.econ - random > 2", Figure((Term(BLEU), Term(BLEU, -1.0, "random"))), ">", Figure((), 2.0)),
        (
            "scores.bleu.econ - baseline > scores.bleu.generic - baseline",
            Figure((Term(BLEU), Term(BLEU, -1.0, "baseline"))),
            ">",
            Figure((Term(GENERIC), Term(GENERIC, -1.0, "baseline"))),
        ),
        (
            "scores.bleu.econ < 2 * baseline + 5",
            Figure((Term(BLEU),)),
            "<",
            Figure((Term(BLEU, 2.0, "baseline"),), 5.0),
        ),
        ("-scores.bleu.econ < 0", Figure((Term(BLEU, -1.0),)), "<", Figure()),
        (
            "scores.bleu.econ > 50% of (baseline - random)",
            Figure((Term(BLEU),)),
            ">",
            Figure((Term(BLEU, 0.5, "baseline"), Term(BLEU, -0.5, "random"))),
        ),
        ("scores.bleu.econ >= 80% of scores.bleu.generic", Figure((Term(BLEU),)), ">=", Figure((Term(GENERIC, 0.8),))),
        ("scores.rouge_l != 10%", Figure((Term(("scores", "rouge_l")),)), "!=", Figure((), 0.1)),
        ("2 * 3 == scores.bleu", Figure((), 6.0), "==", Figure((Term(("scores", "bleu")),))),
    ],
)
def test_claims(text: str, left: Figure, op: str, right: Figure) -> None:
    step = last(SCORED + f"check {text}")
    assert step == Check(left, op, right)  # type: ignore[arg-type]
    assert isinstance(step, Check)
    assert step.text == f"check {text}"


def test_a_claim_with_a_confidence() -> None:
    step = last(SCORED + "check scores.bleu.econ < random with confidence: 99%")
    assert isinstance(step, Check)
    assert step.confidence == 0.99 and step.text == "check scores.bleu.econ < random with confidence: 99%"


def test_a_param_may_be_called_as_a_control_is() -> None:
    step = last(SCORED.replace("topic = ", "param random = 5\ntopic = ", 1) + "check scores.bleu.econ < random")
    assert isinstance(step, Check) and step.right == Figure((), 5.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plot pca(topic)", Plot("pca", "topic")),
        (
            'plot pca(topic, layer: 12) to "p/pca.svg"',
            Plot("pca", "topic", path="p/pca.svg", options={"layer": Layers((LayerPoint(12.0),))}),
        ),
        ("plot pca(topic, layer: best)", Plot("pca", "topic", options={"layer": Layers((LayerChoice("best"),))})),
        ("plot cosine(topic, topic)", Plot("cosine", "topic", others=("topic",))),
        ("plot norms(topic) with scale: log", Plot("norms", "topic", options={"scale": "log"})),
        ("plot scores.bleu", Plot("scores", "scores.bleu")),
        ('plot scores.bleu.econ to "b.png"', Plot("scores", "scores.bleu.econ", path="b.png")),
        ('export topic to "t.gguf"', Export("topic", "vector", "t.gguf")),
        ('export turn to "t.safetensors"', Export("turn", "plane", "t.safetensors")),
        ('export forgetful to "./model/"', Export("forgetful", "steer", "model/")),
    ],
)
def test_pictures_and_files(text: str, value: Step) -> None:
    assert last(SCORED + CHOSEN + "turn = plane(topic, pc1)\n" + text) == value


def test_a_recipe_without_steers_scores_nothing() -> None:
    assert [type(step).__name__ for step in lowered(TOPIC).steps] == ["Extract"]


def test_steer_before_the_operation_that_stands_alone() -> None:
    names = [step.name for step in steps(STEERED + "ablate topic by 50%\nevaluate", Steer) if isinstance(step, Steer)]
    assert names == ["forgetful", "main"]
