"""A run in sentences: each steer against its controls, each layer by number, each claim with its outcome."""

from __future__ import annotations

from typing import Any

import pytest

from steerdsl.measure.table import of_json
from steerdsl.show.sentences import claims, direction, evaluations, is_random, layers


def figures(mean: float | None, p: float | None = None, others: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    against = {other: {"difference": 1.0, "low": 0.0, "high": 2.0, "p": p, "p_holm": p} for other in others}
    ends = {} if mean is None else {"low": mean - 1, "high": mean + 1}
    return {"mean": mean, **ends, "n": 15, "values": [mean] * 15, **({"against": against} if against else {}), **more}


CONTROLS = ("baseline", "random", "prompted")
ECON = {
    "baseline": figures(16.1),
    "forgetful": figures(0.811, 0.0004, CONTROLS),
    "random": figures(15.7),
    "prompted": figures(14.8),
}


def test_a_steer_against_its_controls_is_one_sentence() -> None:
    ((steer, text),) = evaluations(of_json({"scores": {"bleu": {"econ": ECON}, "keyword_rate": {"econ": ECON}}}))
    assert steer == "forgetful"
    assert text == (
        "lowers keyword_rate on econ from 16.1 to 0.811 [-0.189, 1.81] (15 prompts, p < .001; higher is more about "
        "the topic); random directions: 15.7 (p < .001), prompting: 14.8 (p < .001)"
    )


@pytest.mark.parametrize(
    ("base", "own", "p", "said"),
    [
        (1.0, 2.0, 0.01, "raises bleu on d from 1 to 2 "),
        (2.0, 1.0, 0.01, "lowers bleu on d from 2 to 1 "),
        (1.0, 2.0, 0.05, "does not clearly change bleu on d from 1 to 2 "),
        (1.0, 1.0, 1.0, "does not change bleu on d at 1 "),
        (1.0, 2.0, None, "moves bleu on d from 1 to 2 "),
        (1.00001, 1.00002, 0.01, "raises bleu on d from 1.00001 to 1.00002 "),
        (None, 2.0, None, "has bleu on d at 2 "),
        (1.0, None, None, "has no bleu on d"),
    ],
)
def test_the_verb_says_what_is_known(base: float | None, own: float | None, p: float | None, said: str) -> None:
    table = {"bleu": {"d": {"baseline": figures(base), "s": figures(own, p, ("baseline",))}}}
    ((_, text),) = evaluations(of_json({"scores": table}))
    assert text.startswith(said)


def test_it_is_about_what_a_claim_is_about_and_names_other_data_sets_briefly() -> None:
    table = {"bleu": {"econ": ECON, "generic": ECON}, "keyword_rate": {"econ": ECON, "generic": ECON}}
    check = {"claim": "check scores.bleu.generic < 50% of baseline", "holds": True, "left": 1.0, "right": 2.0}
    ((_, text),) = evaluations(of_json({"scores": table}), [check])
    assert text.startswith("lowers bleu on generic from 16.1")
    assert ". On econ from 16.1 to 0.811 (15 prompts, p < .001); random directions: 15.7" in text


@pytest.mark.parametrize(
    "random",
    [
        {"random": figures(25.0, draws=[{"mean": 15.1}, {"mean": 39.4}, {"mean": 20.5}])},
        {"random": figures(25.0), "random 2": figures(15.1), "random 3": figures(39.4)},
    ],
)
def test_several_draws_are_one_control_with_its_spread(random: dict[str, Any]) -> None:
    by_variant = {"baseline": figures(37), "s": figures(8, 0.002, ("baseline", "random")), **random}
    ((_, text),) = evaluations(of_json({"scores": {"bleu": {"d": by_variant}}}))
    mean = "26.5" if len(random) > 1 else "25"
    assert f"random directions: {mean} (3 draws, 15.1 to 39.4, p = .002)" in text


def test_steers_are_told_from_random_controls() -> None:
    assert [is_random(v) for v in ("random", "random 2", "random_1", "random2")] == [True, True, False, True]
    assert not is_random("randomise") and not is_random("main")


def test_two_evaluations_of_one_steer_are_told_apart() -> None:
    found = dict(evaluations(of_json({"first": {"bleu": {"d": ECON}}, "second": {"bleu": {"d": ECON}}})))
    assert list(found) == ["forgetful, first", "forgetful, second"]


def test_a_sweep_is_told_by_its_ends() -> None:
    points = [
        {"at": {"angle": f"{x}deg"}, "scores": {"bleu": {"d": {"baseline": figures(40), "turn": figures(mean)}}}}
        for x, mean in ((0, 12.0), (90, 3.0), (180, None), (270, 30.0))
    ]
    ((steer, text),) = evaluations(of_json({"swept": {"points": points}}))
    assert steer == "turn"
    assert text == "over angle, 4 points: bleu on d from 3 (angle 90deg) to 30 (angle 270deg); unsteered: 40"


def test_layers_are_numbers() -> None:
    choices = {"best": {"chosen": [12], "vector": "topic", "criterion": "dispersion"}}
    choices["two"] = {"chosen": [3, 9], "vector": "topic", "criterion": "fisher"}
    assert list(layers(choices)) == [
        ("best", "layer 12 of topic, by dispersion"),
        ("two", "layers 3, 9 of topic, by fisher"),
    ]


CHECK = {"claim": "check a < b", "holds": True, "left": 0.811, "right": 8.05, "at": {}}


@pytest.mark.parametrize(
    ("more", "verdict", "found"),
    [
        ({}, "holds", "0.811 against 8.05"),
        ({"holds": False}, "fails", "0.811 against 8.05"),
        (
            {"outcome": "holds", "by": -7.24, "low": -9.0, "high": -5.0, "p": 0.0002, "n": 15},
            "holds",
            "0.811 against 8.05; difference -7.24 [-9, -5], p < .001, 15 prompts",
        ),
        (
            {"outcome": "not settled", "holds": None, "why": "15 prompts do not settle it", "needs": 45.2}
            | {"by": -7.24, "low": -9.0, "high": 5.0, "p": 0.4, "n": 15, "confidence": 0.99, "notes": ["a note"]},
            "not settled",
            "0.811 against 8.05; difference -7.24 [-9, 5] at 99%, p = .400, 15 prompts; 15 prompts do not settle it; "
            "about 46 would, if the effect is what it seems; a note",
        ),
        ({"left": 1.000001, "right": 1.0, "holds": False}, "fails", "1.000001 against 1"),
        ({"left": None, "holds": None, "outcome": "not settled"}, "not settled", "– against 8.05"),
    ],
)
def test_a_claim_has_its_outcome_and_its_figures(more: dict[str, Any], verdict: str, found: str) -> None:
    (claim,) = claims([{**CHECK, **more}])
    assert (claim.verdict, claim.text, claim.found) == (verdict, "check a < b", found)


def test_a_claim_at_many_points_says_where_it_does_not_hold() -> None:
    checks = [{**CHECK, "holds": x != 90, "at": {"angle": f"{x}deg"}} for x in range(0, 360, 90)]
    (claim,) = claims(checks)
    assert claim.verdict == "fails"
    assert claim.found == "at 3 of 4 points; not at angle 90deg: 0.811 against 8.05"


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("bleu", "lower is more changed"),
        ("keyword_rate(words: econ)", "higher is more about the topic"),
        ("exact_match", "higher is better"),
        ("new", ""),
    ],
)
def test_the_registry_says_which_way_is_which(metric: str, said: str) -> None:
    assert direction(metric) == said
