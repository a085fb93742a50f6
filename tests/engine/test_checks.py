"""Verdicts of claims on tables made by hand: outcomes, intervals, p, what is paired and what is said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from steerdsl.engine.checks import at_points, keep
from steerdsl.lang.check import check_source
from steerdsl.lang.recipe import Check
from steerdsl.lang.source import Source
from steerdsl.measure.answers import Figures
from steerdsl.measure.claims import judged
from steerdsl.measure.rates import newcombe
from steerdsl.measure.scores import Score, tabled
from steerdsl.measure.stats import difference, holm, interval
from steerdsl.measure.table import nested, of_json
from steerdsl.measure.verdict import said
from steerdsl.planning.power import family
from steerdsl.show.sentences import evidence

RECIPE = """
topic = extract diffmean from econ vs generic
steer s { ablate topic }
scores = evaluate s on econ, generic with keyword_rate("econ"), refusal_rate
other = evaluate s on econ with refusal_rate
"""
N = 15


def score(values: Any, kind: str = "arithmetic") -> dict[str, Score]:
    figures = Figures([float(v) for v in values], kind)  # type: ignore[arg-type]
    found = interval(figures)
    return {"m": Score("m", found.mean, found.low, found.high, found.n, figures)}


def line(steer: Any, baseline: Any, random: Any = (), prompted: Any = (), kind: str = "arithmetic") -> dict[str, Any]:
    """One metric on one data set: variant -> figures, as scores.json has them."""
    variants = {"baseline": [score(baseline, kind)], "s": [score(steer, kind)]}
    if len(random):
        variants["random"] = [score(draw, kind) for draw in random]
    if len(prompted):
        variants["prompted"] = [score(prompted, kind)]
    made: dict[str, Any] = json.loads(json.dumps(nested(tabled(variants, "s", "d"))["m"]["d"]))
    return made


def verdict(claim: str, scores: dict[str, Any], **more: Any) -> dict[str, Any]:
    (found,) = verdicts([claim], scores, **more)
    return found


def verdicts(claims: Sequence[str], scores: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    recipe, report = check_source(Source("r.steer", RECIPE + "".join(f"check {claim}\n" for claim in claims)))
    assert recipe is not None, report.found
    plan = SimpleNamespace(steps=[SimpleNamespace(step=s, points=()) for s in recipe.steps])
    results = SimpleNamespace(failed=[], scores=of_json(scores), claims={})
    run: Any = SimpleNamespace(results=results, plan=plan, point={}, values=SimpleNamespace(**more))
    for step in recipe.steps:
        if isinstance(step, Check):
            for claim in at_points(run, step):
                keep(run, claim)
    found = judged(results.claims.values())
    json.dumps(found, allow_nan=False)
    return found


PAIRS = [("econ", "baseline"), ("econ", "prompted"), ("generic", "prompted")]
RANDOM = np.random.default_rng(0)
LITTLE = line([0] * 11 + [7, 0, 0, 8], [0] * N)  # a claim that held: 1 against 0, by the answers of two prompts
CLEAR = line(RANDOM.normal(9, 1, N), RANDOM.normal(2, 1, N), RANDOM.normal(4, 1, (5, N)), RANDOM.normal(8.9, 1, N))


def keyword(econ: dict[str, Any], generic: dict[str, Any] = CLEAR) -> dict[str, Any]:
    return {"scores": {"keyword_rate": {"econ": econ, "generic": generic}}}


def test_the_means_decide_a_claim_without_confidence_and_it_says_that_they_do_not_settle_it() -> None:
    found = verdict("scores.keyword_rate.econ > 200% of baseline", keyword(LITTLE))
    assert (found["outcome"], found["holds"], found["left"], found["right"]) == ("holds", True, 1, 0)
    assert found["settled"] is False and found["low"] < 0 < found["high"] and found["p"] > 0.1
    assert found["why"] == "15 prompts do not settle it" and found["needs"] > 15
    assert "15 prompts do not settle it; about" in said(found) and "p = ." in evidence(found)
    assert found["notes"] == ["a share of 0 is 0: baseline is 0, so this share of it requires nothing"]


@pytest.mark.parametrize(
    ("claim", "outcome"),
    [
        ("scores.keyword_rate.econ > 200% of baseline with confidence: 95%", "not settled"),
        ("scores.keyword_rate.econ < 200% of baseline with confidence: 95%", "not settled"),
        ("scores.keyword_rate.generic > baseline with confidence: 95%", "holds"),
        ("baseline < scores.keyword_rate.generic with confidence: 99%", "holds"),
        ("scores.keyword_rate.generic < baseline with confidence: 95%", "fails"),
        ("scores.keyword_rate.generic > random with confidence: 95%", "holds"),
        ("scores.keyword_rate.generic - random > 2 with confidence: 95%", "holds"),
        ("scores.keyword_rate.generic - random > 8 with confidence: 95%", "fails"),
        ("scores.keyword_rate.generic > prompted with confidence: 95%", "not settled"),
        ("scores.keyword_rate.generic != baseline with confidence: 95%", "holds"),
        ("scores.keyword_rate.generic != prompted with confidence: 95%", "not settled"),
        ("scores.keyword_rate.generic > 50% of (baseline + prompted) with confidence: 95%", "holds"),
        ("prompted < 5 * scores.keyword_rate.generic with confidence: 95%", "holds"),
        ("scores.keyword_rate.generic - prompted > -2 with confidence: 95%", "holds"),
        ("scores.keyword_rate > random", "holds"),
    ],
)
def test_a_claim_with_confidence_has_three_outcomes(claim: str, outcome: str) -> None:
    econ = line(LITTLE["s"]["values"], LITTLE["baseline"]["values"], RANDOM.poisson(0.3, (5, N)))
    found = verdict(claim, keyword(econ))
    assert found["outcome"] == outcome
    assert found["holds"] is {"holds": True, "fails": False, "not settled": None}[outcome]
    if "confidence" in claim and outcome != "not settled":
        assert found["settled"] and not found["why"]
        assert found["low"] > 0 or found["high"] < 0


def test_the_interval_is_that_of_the_table() -> None:
    for other in ("baseline", "random", "prompted"):
        found = verdict(f"scores.keyword_rate.generic > {other}", keyword(LITTLE))
        wanted = CLEAR["s"]["against"][other]
        named = (found["by"], found["low"], found["high"], found["p"])
        assert named == pytest.approx([wanted[name] for name in ("difference", "low", "high", "p")])
        assert found["n"] == N


def test_rates_have_newcombes_interval_also_across_evaluations_of_the_same_prompts() -> None:
    steer, base = [1.0] * 9 + [0.0] * 6, [0.0] * 8 + [1.0] * 2 + [0.0] * 5
    scores = {"scores": {"refusal_rate": {"econ": line(steer, base, kind="rate")}}}
    scores["other"] = {"refusal_rate": {"econ": line(base, steer, kind="rate")}}
    for claim in ("scores.refusal_rate.econ > baseline", "scores.refusal_rate.econ > other.refusal_rate.econ"):
        found = verdict(claim, scores)
        assert (found["low"], found["high"]) == pytest.approx(newcombe(1, 8, 1, N))


def test_other_prompts_are_not_paired() -> None:
    one, two = RANDOM.normal(5, 1, 60), RANDOM.normal(3, 2, 40)
    scores = keyword(line(one, one), line(two, two))
    found = verdict("scores.keyword_rate.econ > scores.keyword_rate.generic", scores)
    error = sqrt(one.var(ddof=1) / 60 + two.var(ddof=1) / 40)
    assert found["high"] - found["by"] == pytest.approx(2.0 * error, rel=0.1) and found["n"] == 100


def test_a_metric_alone_is_the_mean_over_its_data_sets() -> None:
    found = verdict("scores.keyword_rate > baseline", keyword(LITTLE))
    both = [LITTLE["s"]["mean"] - LITTLE["baseline"]["mean"], CLEAR["s"]["mean"] - CLEAR["baseline"]["mean"]]
    assert found["by"] == pytest.approx(np.mean(both)) and found["n"] == 2 * N


def test_more_confidence_asks_for_more() -> None:
    gaps = np.array([1.0, 0.3, 0.8, 1.4, -0.3, 0.9, 0.2, 1.2])
    scores = keyword(line(gaps, np.zeros(8)))
    p = difference(Figures(gaps.tolist()), Figures([0.0] * 8)).p
    assert 0.01 < p < 0.05
    asked = [verdict(f"scores.keyword_rate.econ > baseline with confidence: {c}%", scores) for c in (90, 95, 99)]
    assert [a["outcome"] for a in asked] == ["holds", "holds", "not settled"]
    assert [a["p"] for a in asked] == pytest.approx([p] * 3)


@pytest.mark.parametrize("confidence", ["", " with confidence: 95%"])
@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "!=", "=="])
@pytest.mark.parametrize("wrong", ["s", "baseline"])
def test_a_figure_that_is_none_never_makes_a_claim_hold(wrong: str, op: str, confidence: str) -> None:
    if op == "==" and confidence:
        return  # S430
    table = json.loads(json.dumps(CLEAR))
    table[wrong] |= {"mean": None, "low": None, "high": None, "n": 0, "values": [None] * N}
    found = verdict(f"scores.keyword_rate.econ {op} baseline{confidence}", keyword(table))
    assert (found["outcome"], found["holds"]) == ("not settled", None)
    assert found["why"] == "a score that it names has no figure" and found["low"] is None


def test_a_data_set_without_a_figure_is_left_out_and_said() -> None:
    table = json.loads(json.dumps(CLEAR))
    table["baseline"] |= {"mean": None, "values": [None] * N}
    found = verdict("scores.keyword_rate > baseline with confidence: 95%", keyword(table))
    assert found["outcome"] == "holds" and found["n"] == N
    assert found["by"] == pytest.approx(CLEAR["s"]["mean"] - CLEAR["baseline"]["mean"])
    assert found["notes"] == ["scores.keyword_rate is the mean without econ, which has no figure"]


def test_too_few_prompts_are_said() -> None:
    found = verdict("scores.keyword_rate.econ > 1 with confidence: 95%", keyword(line([5, 6, 7], [1, 1, 2])))
    assert found["outcome"] == "not settled"
    assert found["why"] == "3 prompts do not settle it: there are fewer than 5 prompts"


def test_one_random_draw_settles_nothing() -> None:
    scores = keyword(line(RANDOM.normal(9, 1, N), np.zeros(N), RANDOM.normal(4, 1, (1, N))))
    found = verdict("scores.keyword_rate.econ > random", scores)
    assert found["outcome"] == "holds" and found["settled"] is None
    assert found["why"] == "15 prompts do not settle it: one draw of random directions has no spread"


def test_the_chance_of_draws_counts() -> None:
    """Draws of which each is exactly known, and which differ much: 9 is one more of them."""
    wobble = RANDOM.normal(0, 0.01, N)
    draws = [mean + wobble for mean in (1.0, 12.0, 5.0, 8.0, 3.0)]
    found = verdict(
        "scores.keyword_rate.econ > random with confidence: 95%", keyword(line(9 + 2 * wobble, wobble, draws))
    )
    assert found["outcome"] == "not settled"
    error = np.std([1, 12, 5, 8, 3], ddof=1) * sqrt(1 + 1 / 5)
    assert found["p"] == pytest.approx(2 * t.sf((9 - 5.8) / error, 4), rel=0.01)


def test_claims_with_a_confidence_are_one_family() -> None:
    """Four metrics' worth of claims with p near .03: alone each holds, together none does."""
    gaps = np.array([1.0, 0.3, 0.8, 1.4, -0.3, 0.9, 0.2, 1.2])
    tables = {"keyword_rate": {"econ": line(gaps, np.zeros(8)), "generic": CLEAR}}
    texts = [f"scores.keyword_rate.econ > {bound}" for bound in ("baseline", "0.001", "0.002")]
    sure = "scores.keyword_rate.generic > baseline"
    alone = [verdict(f"{text} with confidence: 95%", {"scores": tables}) for text in texts]
    assert all(a["outcome"] == "holds" and a["p"] == a["p_holm"] > 0.02 and a["family"] == 1 for a in alone)
    together = verdicts([f"{text} with confidence: 95%" for text in (*texts, sure)], {"scores": tables})
    assert [c["outcome"] for c in together] == ["not settled"] * 3 + ["holds"]
    assert [c["p_holm"] for c in together] == pytest.approx(holm([c["p"] for c in together]))
    assert [c["p"] for c in together[:3]] == pytest.approx([a["p"] for a in alone])
    assert said(together[0]).startswith("8 prompts do not settle it among 4 claims, as they would alone; about ")
    assert together[0]["needs"] > 8 and "among 4 claims" in evidence(together[0])


def test_claims_that_the_means_decide_are_no_tests_of_the_family() -> None:
    texts = ["scores.keyword_rate.econ > 1", "scores.keyword_rate.generic > 1"]
    found = verdicts([*texts, "scores.keyword_rate.econ > baseline with confidence: 95%"], keyword(CLEAR))
    assert [c["p_holm"] for c in found] == [None, None, found[2]["p"]] and found[2]["family"] == 1


def test_a_claim_that_is_written_twice_is_one_claim() -> None:
    text = "scores.keyword_rate.econ > baseline with confidence: 95%"
    assert len(verdicts([text, text], keyword(CLEAR))) == 1


ONE_TEST = (
    "scores.keyword_rate.econ > baseline",
    "scores.keyword_rate.econ >= baseline",
    "scores.keyword_rate.econ - baseline > 0",
    "2 * scores.keyword_rate.econ > 200% of baseline",
    "baseline < scores.keyword_rate.econ",
    "0 > baseline - scores.keyword_rate.econ",
    "-scores.keyword_rate.econ < -1 * baseline",
    "scores.keyword_rate.econ != baseline",
    "scores.keyword_rate.econ < baseline",  # fails by the same test
    "scores.keyword_rate.econ + 2 > baseline + 2",
)
OTHER_TESTS = (
    "scores.keyword_rate.econ > prompted",
    "scores.keyword_rate.econ > 50% of baseline",
    "scores.keyword_rate.econ - baseline > 1",
    "scores.keyword_rate > baseline",
    "scores.keyword_rate.generic > baseline",
)


@pytest.mark.parametrize("again", ONE_TEST)
def test_a_claim_in_other_words_is_the_same_test(again: str) -> None:
    """Its family is no larger by it, in the verdicts as in the plan, and the p-values of all stay what they were."""
    scores = keyword(line([4, 5, 7, 5, 9, 3, 6, 5], [1, 2, 1, 3, 1, 2, 4, 2], prompted=[3, 2, 4, 1, 4, 4, 5, 6]))
    first, *rest = (f"{text} with confidence: 95%" for text in (ONE_TEST[0], *OTHER_TESTS[:3]))
    mirror = f"{again} with confidence: 90%"
    alone, together = verdicts([first, *rest], scores), verdicts([first, mirror, *rest], scores)
    assert {c["family"] for c in together} == {len(alone)} == {4}
    assert [c["p_holm"] for c in together] == pytest.approx([alone[0]["p_holm"], *(c["p_holm"] for c in alone)])
    recipe, _ = check_source(Source("r.steer", RECIPE + "".join(f"check {c}\n" for c in (first, mirror, *rest))))
    assert recipe is not None and family(recipe) == 4


def test_other_differences_are_other_tests() -> None:
    texts = [f"{text} with confidence: 95%" for text in (ONE_TEST[0], *OTHER_TESTS)]
    recipe, _ = check_source(Source("r.steer", RECIPE + "".join(f"check {text}\n" for text in texts)))
    assert recipe is not None and family(recipe) == len(texts)


def test_a_score_on_its_only_data_set_is_the_same_with_its_name_and_without() -> None:
    texts = ("other.refusal_rate < 0.5", "other.refusal_rate.econ < 50%", "0.5 > other.refusal_rate")
    claims = "".join(f"check {text} with confidence: 95%\n" for text in texts)
    recipe, _ = check_source(Source("r.steer", RECIPE + claims))
    assert recipe is not None and family(recipe) == 1


def test_claims_at_other_points_of_a_sweep_are_other_tests() -> None:
    swept = """
topic = extract diffmean from econ vs generic
sweep k over 1, 2, 3 {
    steer more { add topic by k at layer 1 }
    s = evaluate more on econ with refusal_rate
    check s.refusal_rate < baseline with confidence: 95%
    check baseline > s.refusal_rate.econ with confidence: 95%
}
check s.refusal_rate.econ < baseline with confidence: 95%
"""
    recipe, report = check_source(Source("r.steer", swept))
    assert recipe is not None, report
    assert family(recipe) == 3


@pytest.mark.parametrize("seed", range(3))
def test_a_family_of_claims_without_an_effect_seldom_has_one_that_is_settled(seed: int) -> None:
    """Six claims, 200 times, nothing true: alone some .26 of the recipes would settle one; together .05."""
    chance, wrong, alone = np.random.default_rng(seed), 0, 0
    texts = [f"scores.{m}.{d} > {x} with confidence: 95%" for m in ("keyword_rate", "refusal_rate") for d, x in PAIRS]
    for _ in range(100):
        tables = {
            m: {
                d: line(chance.normal(0, 1, 40), np.zeros(40), prompted=chance.normal(0, 1, 40))
                for d in ("econ", "generic")
            }
            for m in ("keyword_rate", "refusal_rate")
        }
        found = verdicts(texts, {"scores": tables})
        wrong += any(c["settled"] for c in found)
        alone += any(c["p"] <= 0.05 for c in found)
    assert wrong <= 12 < alone


def test_the_prompts_needed_leave_out_what_draws_alone_make_uncertain() -> None:
    """Two draws lie so far apart that no number of prompts tells the steer from one more of them."""
    chance = np.random.default_rng(3)
    steer, plain = chance.normal(5, 1, N), chance.normal(0, 1, N)
    far = line(steer, plain, [chance.normal(2, 1, N), chance.normal(7, 1, N)])
    claim = "scores.keyword_rate.econ > random with confidence: 95%"
    found = verdict(claim, {"scores": {"keyword_rate": {"econ": far}}})
    assert found["holds"] is None and found["needs"] is None and "more `draws`" in found["why"]
    near = line(steer, plain, [chance.normal(4.7, 1, N) for _ in range(20)])
    found = verdict(claim, {"scores": {"keyword_rate": {"econ": near}}})
    assert found["holds"] is None and found["needs"] > N and found["why"] == "15 prompts do not settle it"


def test_a_value_that_the_metric_cannot_have_is_excluded_however_few_the_prompts() -> None:
    """The interval ends at the metric's bounds, and the verdict goes by the same rule."""
    chance = np.random.default_rng(4)
    values = line(chance.uniform(0, 100, N), chance.uniform(0, 100, N))
    for name in values:
        values[name]["values"] = [min(v, 100.0) for v in values[name]["values"]]
    found = verdict(
        "scores.keyword_rate.econ < 101 with confidence: 99%", {"scores": {"keyword_rate": {"econ": values}}}
    )
    assert found["outcome"] == "holds" and found["p"] == 0 and found["high"] < 0


def test_the_data_set_that_is_too_small_is_named() -> None:
    chance = np.random.default_rng(5)
    sizes = {"econ": 7, "generic": 4}
    given = {data: line(chance.normal(1, 1, n), chance.normal(0, 1, n)) for data, n in sizes.items()}
    found = verdict("scores.keyword_rate > 0 with confidence: 95%", {"scores": {"keyword_rate": given}})
    assert found["holds"] is None and found["why"].endswith("on generic, there are fewer than 5 prompts")
