"""Axes over words: a word stands wherever the grammar has a name of its kind, and each point is checked."""

from __future__ import annotations

import pytest
from lowering import TOPIC, codes, lowered, messages, steps

from steerdsl.lang.format import format_source
from steerdsl.lang.recipe import Evaluate, Extract, Generate, Select, Steer, Sweep
from steerdsl.lang.source import Source
from steerdsl.registry import entries

PAIRS = """dataset caa = "caa.jsonl" with positive: "yes", negative: "no"
dataset law = "law.jsonl" with positive: "yes", negative: "no"
"""
OTHER = "cold = extract diffmean from generic vs econ\n"
CHOICES = "deep = select layers of topic\nwide = select layers of topic keep top 3\n"
PLANES = "flat = plane(topic, pc1)\ntilted = plane(cold, pc1)\n"
STEERS = "steer one { ablate topic everywhere }\nsteer two { ablate cold everywhere }\n"
SCORED = "; scores = evaluate s on econ with bleu"
# What a word may stand for: what comes before, the words, the body with AXIS in the word's place.
KINDS = {
    "method": ("", "diffmean,pca,probe,lda", "v = extract AXIS from econ vs generic"),
    "position": ("", "last_token,mean_content,mean_prompt,all", "v = extract diffmean from econ vs generic at AXIS"),
    "numbered position": ("", "token -2,suffix 5", "v = extract diffmean from econ vs generic at AXIS"),
    "stream": ("", "resid_pre,attn_out,head(3, 5)", "v = extract diffmean from econ vs generic on AXIS"),
    "stream of an operation": (TOPIC, "resid_mid,mlp_out", "steer s { ablate topic on AXIS }" + SCORED),
    "criterion": (TOPIC, "fisher,cohen_d,dispersion", "best = select layers of topic by AXIS"),
    "positive": (PAIRS, "econ,caa.positive,law.negative", "v = extract diffmean from AXIS vs generic"),
    "negative": (PAIRS, "generic,caa.negative", "v = extract diffmean from econ vs AXIS"),
    "pairs": (PAIRS, "caa,law,caa.all", "v = extract pca_diff from AXIS"),
    "part of a data set": (PAIRS, "caa,law", "v = extract diffmean from AXIS.positive vs AXIS.negative"),
    "evaluated": (TOPIC, "econ,generic", "steer s { ablate topic }; scores = evaluate s on AXIS with bleu"),
    "asked": ("", "econ,generic.held_out", "out = generate from AXIS"),
    "vector": (TOPIC + OTHER, "topic,cold", "steer s { add AXIS by 2 at layer 3 }" + SCORED),
    "selected": (TOPIC + OTHER, "topic,cold", "best = select layers of AXIS"),
    "first axis of a plane": (TOPIC + OTHER, "topic,cold", "p = plane(AXIS, pc1)"),
    "second axis of a plane": (TOPIC, "pc1,last2pc,random", "p = plane(topic, AXIS)"),
    "plane": (TOPIC + OTHER + PLANES, "flat,tilted", "steer s { rotate AXIS to 90deg }" + SCORED),
    "layers": (TOPIC + CHOICES, "deep,wide,last", "steer s { add topic by 2 at layers AXIS }" + SCORED),
    "steer": (TOPIC + OTHER + STEERS, "one,two", "scores = evaluate AXIS on econ with bleu"),
    "steer of answers": (TOPIC + OTHER + STEERS, "one,two", "out = generate from econ with steer: AXIS"),
    "seed": ("", "0,1,7", "out = generate from econ with seed: AXIS, temperature: 0.5"),
    "text": (
        TOPIC,
        '"econ","money"',
        "steer s { ablate topic }; scores = evaluate s on econ with keyword_rate(AXIS)",
    ),
}


def sweep(text: str) -> Sweep:
    (found,) = (step for step in lowered(text).steps if isinstance(step, Sweep))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_is_what_its_word_in_that_place_is(kind: str) -> None:
    before, words, body = KINDS[kind]
    found = sweep(f"{before}sweep axis over {words} {{ {body.replace('AXIS', 'axis')} }}")
    plain = [w for w in words.replace(", ", "; ").split(",")]
    assert len(found.points) == len(plain)
    for point, word in zip(found.points, plain, strict=True):
        word = word.replace("; ", ", ")
        assert point.labels == {"axis": word.strip('"')}
        written = steps(f"{before}{body.replace('AXIS', word)}")
        assert list(point.steps) == written[-len(point.steps) :]


@pytest.mark.parametrize("kind", KINDS)
def test_the_layout_keeps_what_an_axis_says(kind: str) -> None:
    before, words, body = KINDS[kind]
    text = f"{before}sweep axis over {words} {{ {body.replace('AXIS', 'axis')} }}"
    laid, report = format_source(Source("x.steer", text))
    assert not report.found and lowered(laid).steps == lowered(text).steps
    assert format_source(Source("x.steer", laid))[0] == laid


WRONG = {
    "method": "v = extract AXIS from econ vs generic",
    "position": "v = extract diffmean from econ vs generic at AXIS",
    "stream": "v = extract diffmean from econ vs generic on AXIS",
    "criterion": "best = select layers of topic by AXIS",
    "data": "v = extract diffmean from AXIS vs generic",
    "vector": "steer s { add AXIS by 2 at layer 3 }",
    "layers": "steer s { add topic by 2 at layers AXIS }",
    "steer": "scores = evaluate AXIS on econ with bleu",
    "number": "steer s { add topic by AXIS at layer 3 }",
    "whole number": "out = generate from econ with max_tokens: AXIS",
    "angle": "steer s { rotate plane(topic, pc1) by AXIS }",
}


@pytest.mark.parametrize("place", WRONG)
@pytest.mark.parametrize("word", ["nonsense", "nonsense.held_out"])
def test_a_word_of_no_kind_is_a_mistake_at_its_own_point(place: str, word: str) -> None:
    text = f"{TOPIC}sweep axis over {word},z{word} {{ {WRONG[place]} }}"
    found = [m for m in messages(text.replace("AXIS", "axis")) if m.startswith("error")]
    assert len(found) == 2 and f"note: at axis {word}\n" in found[0]
    assert f"sweep axis over {word}" in found[0] and "where `axis` is this" in found[0]


@pytest.mark.parametrize("place", WRONG)
@pytest.mark.parametrize("word", ["suffix 5", "head(1, 2)"])
def test_a_word_with_a_number_stands_in_its_own_place_alone(place: str, word: str) -> None:
    text = f"{TOPIC}sweep axis over {word} {{ {WRONG[place].replace('AXIS', 'axis')} }}"
    right = (place, word) in [("position", "suffix 5"), ("stream", "head(1, 2)")]
    assert any(m.startswith("error") for m in messages(text)) != right


def test_every_method_and_position_is_a_word() -> None:
    methods = [name for name, entry in entries("extract").items() if not any(arg.required for arg in entry.args)]
    methods = [name for name in methods if name not in ("random",)]
    positions = ["token -2" if n == "token" else "suffix 3" if n == "suffix" else n for n in entries("position")]
    text = f"{PAIRS}sweep m over {','.join(methods)} and p over {','.join(positions)} {{ v = extract m from caa at p }}"
    points = sweep(text).points
    assert len(points) == len(methods) * len(positions) and all(isinstance(p.steps[0], Extract) for p in points)
    assert {p.steps[0].method for p in points} == set(methods)  # type: ignore[union-attr]


def test_what_is_the_same_at_every_point_is_said_once_and_names_no_point() -> None:
    (found,) = messages("sweep m over diffmean,probe and p over last_token,all { v = extract m from ecn vs generic }")
    assert "ecn" in found and "note" not in found


def test_a_mistake_of_one_word_names_it_and_no_other_axis() -> None:
    axes = "m over diffmean,prob and p over last_token,al and k over 1..3"
    text = f"sweep {axes} {{ v = extract m from econ vs generic at p }}"
    found = [m for m in messages(text) if m.startswith("error")]
    assert [m.splitlines()[-2] for m in found] == ["note: at m prob", "note: at p al"]


def test_a_warning_of_one_word_is_kept() -> None:
    (found,) = messages("sweep m over diffmean,pca_diff { v = extract m from econ vs generic }")
    assert found.startswith("warning[S453]") and "note: at m pca_diff" in found


def test_a_numeric_axis_or_a_param_hides_no_position() -> None:
    text = (
        TOPIC
        + "sweep token over 1,2 { v = extract diffmean from econ vs generic at token -2; add v by token at layer 3 }"
    )
    (first, *_) = sweep(text).points[0].steps
    assert isinstance(first, Extract) and (first.position.name, first.position.number) == ("token", -2)
    (step,) = steps("param suffix = last_token\nv = extract diffmean from econ vs generic at suffix 5", Extract)
    assert isinstance(step, Extract) and step.position.name == "suffix"


def test_a_param_may_hold_a_position() -> None:
    (step,) = steps("param place = last_token\nv = extract diffmean from econ vs generic at place", Extract)
    assert isinstance(step, Extract) and step.position.name == "last_token"


def test_a_calculation_is_one_where_its_name_is_known() -> None:
    assert [
        p.labels["k"] for p in sweep(f"param token = 5\n{TOPIC}sweep k over token - 2,1 {{ add topic by k }}").points
    ] == [
        "3",
        "1",
    ]


def test_scores_of_a_swept_data_set_go_by_the_axis() -> None:
    text = PAIRS + "sweep data over caa,law { v = extract diffmean from data; steer s { add v by 2 at layer 3 }\n"
    for on in ("on data", "on data.positive", ""):
        points = sweep(f"{text}scores = evaluate s {on} with bleu }}\ncheck scores.bleu.data < 5").points
        asked = [step for point in points for step in point.steps if isinstance(step, Evaluate)]
        assert [(ref.name, ref.label, ref.split) for step in asked for ref in step.data] == [
            ("caa", "data", "held_out"),
            ("law", "data", "held_out"),
        ]
    assert codes(f"{text}scores = evaluate s on data with bleu }}\ncheck scores.bleu.caa < 5") == ["S215"]


def test_without_on_a_later_evaluation_has_the_data_sets_themselves() -> None:
    text = PAIRS + "sweep data over caa,law { v = extract diffmean from data; out = generate from data }\n"
    (step,) = steps(text + "w = extract diffmean from caa\nsteer s { add w by 2 at layer 3 }\nevaluate s", Evaluate)
    assert isinstance(step, Evaluate) and [ref.label for ref in step.data] == ["caa", "law"]


def test_scores_and_answers_of_swept_steers_have_one_name() -> None:
    text = (
        TOPIC
        + OTHER
        + STEERS
        + "sweep which over one,two { evaluate which on econ; generate from econ with steer: which }"
    )
    points = sweep(text).points
    assert {tuple(step.name for step in point.steps) for point in points} == {("which_scores", "which_answers")}  # type: ignore[union-attr]
    assert [point.steps[1].steer for point in points if isinstance(point.steps[1], Generate)] == ["one", "two"]


@pytest.mark.parametrize("use", ["plot pca(v)", 'export v to "v.gguf"', 'export s to "s.pt"', "plot choice(best)"])
def test_a_name_that_varies_is_not_used_after_the_sweep(use: str) -> None:
    body = "v = extract METHOD from econ vs generic; best = select layers of v; steer s { add v by 2 at layers best }"
    other = "t = extract pca from econ vs generic on k"
    fixed = f"sweep k over resid_pre,attn_out {{ {body.replace('METHOD', 'pca')}; {other} }}\n"
    swept = f"sweep m over diffmean,probe {{ {body.replace('METHOD', 'm')} }}\n"
    assert codes(swept + use) == ["S478"]
    assert set(codes(fixed + use)) <= {"S452"}


def test_points_share_what_no_axis_changes() -> None:
    vectors = "v = extract diffmean from econ vs generic; w = extract m from econ vs generic"
    text = f"sweep m over diffmean,probe {{ {vectors}; b = select layers of w }}"
    first, second = sweep(text).points
    assert first.steps[0] == second.steps[0] and first.steps[1] != second.steps[1]
    assert isinstance(first.steps[2], Select) and first.steps[2] == second.steps[2]


def test_a_sweep_over_words_without_an_evaluation_is_scored_at_each_point() -> None:
    text = "sweep m over diffmean,probe { v = extract m from econ vs generic; steer s { add v by 2 at layer 3 } }"
    for point in sweep(text).points:
        assert [type(step) for step in point.steps] == [Extract, Steer, Evaluate]


def test_texts_of_an_axis_are_prompts_or_words() -> None:
    points = sweep('sweep asked over "Hello.","Good bye." { out = generate from asked }').points
    refs = [step.data for point in points for step in point.steps if isinstance(step, Generate)]
    assert [(ref.name, ref.label) for ref in refs] == [("prompt", "asked"), ("prompt_2", "asked")]
    assert [point.labels["asked"] for point in points] == ["Hello.", "Good bye."]


@pytest.mark.parametrize(
    ("words", "metrics", "same"),
    [
        ('"coherence","fluency"', "judge(w)", False),
        ('"k.md","coherence"', 'judge(w, scale: 0..9, judge: "jm")', False),
        ('"one","two"', 'judge("coherence", judge: w)', False),
        ('"one/jm","two/jm"', 'judge("coherence", judge: w)', True),
        ('"a/k.md","b/k.md"', "judge(w, scale: 0..9)", True),
        ('"toxic","obscene"', 'bleu, classifier("m", w)', False),
        ('"one","two"', 'classifier(w, "toxic")', True),
        ('"econ","money"', "axbench(w)", True),
        ('"econ","money"', "keyword_rate(w)", True),
        ('"econ","money"', 'keyword_rate(w), keyword_rate("bread")', False),
        ('"winogrande","arc_easy"', "lm_eval(w)", False),
        ("5,10", 'lm_eval("arc_easy", limit: w)', True),
        ("5,10", 'lm_eval("arc_easy", limit: w), lm_eval("winogrande")', True),
    ],
)
def test_an_evaluation_has_the_same_columns_at_every_point(words: str, metrics: str, same: bool) -> None:
    body = f"scores = evaluate s on econ with {metrics}"
    found = codes(f"{TOPIC}steer s {{ ablate topic everywhere }}\nsweep w over {words} {{ {body} }}")
    assert found == ([] if same else ["S479"])
