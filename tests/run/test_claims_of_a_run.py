"""Claims from recipe to exit code, record and tables, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steerdsl.measure.rates import least_gap
from steerdsl.planning import power

SCORED = """
dataset a = econ with take: 30
dataset b = generic with take: 30
topic = extract diffmean from a vs b at mean_content
steer more { add topic by 4 at layer 1 }
s = evaluate more on a.all with kl, distinct_2, eos_share, max_tokens: 6, draws: 3
"""


def record(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "record.json").read_text())
    return found


@pytest.mark.parametrize(
    ("claim", "code", "state", "outcome"),
    [
        ("s.kl.a > baseline with confidence: 95%", 0, "complete", "holds"),
        ("s.kl.a - baseline < 0 with confidence: 95%", 4, "check failed", "fails"),
        ("s.eos_share.a < random with confidence: 95%", 5, "check not settled", "not settled"),
        ("s.eos_share.a <= random", 0, "complete", "holds"),
    ],
)
def test_three_outcomes_have_three_exit_codes(on_tiny: Any, claim: str, code: int, state: str, outcome: str) -> None:
    found, out, err = on_tiny("run", "-e", f"{SCORED}check {claim}\n", "--out", "r")
    assert found == code, err
    (check,) = record("r")["checks"]
    assert record("r")["state"] == state and check["outcome"] == outcome
    assert outcome in out and outcome in Path("r/report.html").read_text()
    if outcome == "not settled":
        assert "30 prompts do not settle it" in err  # said while the run goes on
        assert "30 prompts do not settle it" in " ".join(out.split())
    assert on_tiny("run", "-e", f"{SCORED}check {claim}\n", "--out", "again", "-q")[0] == code


def test_a_failed_claim_outweighs_one_that_is_not_settled(on_tiny: Any) -> None:
    text = SCORED + "check s.eos_share.a < random with confidence: 95%\ncheck s.kl.a < 0\n"
    code, out, _ = on_tiny("run", "-e", text, "--out", "r", "--json")
    assert code == 4 and [check["outcome"] for check in json.loads(out)["checks"]] == ["not settled", "fails"]


def test_every_draw_is_kept_and_one_line_is_shown(on_tiny: Any, steerdsl: Any) -> None:
    code, _, err = on_tiny("run", "-e", SCORED, "--out", "r")
    assert code == 0, err
    rows = [json.loads(line) for line in (Path("r") / "generations.jsonl").read_text().splitlines()]
    draws = [row["draw"] for row in rows if row["variant"] == "random"]
    assert sorted(set(draws)) == [0, 1, 2] and len(draws) == 90
    assert all("draw" not in row for row in rows if row["variant"] != "random")
    line = json.loads((Path("r") / "scores.json").read_text())["s"]["kl"]["a"]["random"]
    assert len(line["draws"]) == 3 and line["mean"] == pytest.approx(sum(d["mean"] for d in line["draws"]) / 3)
    assert len({d["mean"] for d in line["draws"]}) == 3
    shown = steerdsl("show", "r")[1]
    assert "3 draws, sd" in shown and shown.count("\n random ") <= 2
    assert "3 draws, sd" in Path("r/report.html").read_text()


def test_draws_are_those_of_a_larger_number_of_them(on_tiny: Any) -> None:
    kept = {}
    for draws in (3, 2):
        text = SCORED.replace("draws: 3", f"draws: {draws}")
        assert on_tiny("run", "-e", text, "--out", f"r{draws}")[0] == 0
        kept[draws] = json.loads(Path(f"r{draws}/scores.json").read_text())["s"]["kl"]["a"]["random"]["draws"]
    for own, one_more in zip(kept[2], kept[3], strict=False):  # texts that are read together change the last digits
        assert own["values"] == pytest.approx(one_more["values"], rel=1e-4, abs=1e-6)


def test_the_plan_says_what_the_prompts_can_settle(on_tiny: Any) -> None:
    text = (
        SCORED
        + "check s.eos_share.a < baseline with confidence: 95%\ncheck s.kl.a > random with confidence: 99%\n"
        + "check s.kl.a > 1\n"
    )
    code, out, err = on_tiny("plan", "-e", text)
    assert code == 0, err
    said = " ".join(out.split())
    least = least_gap(30, 0.975)  # one of two claims
    assert least is not None
    assert f"30 prompts of a.all: differences of s.eos_share of {100 * round(least, 4):g}% and more" in said
    assert "known once s.kl has been made, whose spread decides it" in said
    assert "asks that the prompts settle it" in said and "5 is not settled by its prompts" in said
    assert on_tiny("run", "-e", text, "--out", "r")[0] != 3
    _, out, _ = on_tiny("plan", "-e", text)
    assert "and more, by their spread so far" in " ".join(out.split())


def test_a_spread_that_no_difference_can_settle_is_said(on_tiny: Any) -> None:
    """BLEU moves by 100 at most, and the interval at this confidence reaches further."""
    text = SCORED.replace("eos_share", "bleu").replace("take: 30", "take: 6")
    text += "check s.bleu.a < baseline with confidence: 99.9999999999999%\n"
    assert on_tiny("run", "-e", text, "--out", "r")[0] == 5
    said = " ".join(on_tiny("plan", "-e", text)[1].split())
    assert "cannot settle a difference of s.bleu that there can be, by their spread so far" in said


def test_too_few_prompts_are_said_before_they_are_asked(on_tiny: Any) -> None:
    text = SCORED.replace("take: 30", "take: 4") + "check s.kl.a > baseline with confidence: 95%\n"
    code, _, err = on_tiny("run", "-e", text, "--out", "r")
    line = "4 prompts of a.all give no interval of s.kl; it takes 5"
    assert code == 5 and line in err and line in record("r")["warnings"]
    assert err.index(line) < err.index("do not settle")
    assert "too few" in on_tiny("plan", "-e", text)[1]


def test_a_control_that_no_instruction_makes_is_an_error_of_the_plan(on_tiny: Any) -> None:
    text = SCORED.replace("add topic by 4 at layer 1", "rotate plane(topic[1], pc1) by 90deg")
    code, _, err = on_tiny("run", "-e", text + "check s.kl.a > prompted\n", "--out", "r")
    assert code == 1 and "error[S432]: `s` has no `prompted`: `more` does not say what to ask for" in err
    assert not Path("r").exists()


def test_a_claim_on_a_sweep_is_settled_point_by_point(on_tiny: Any) -> None:
    text = SCORED.split("steer more")[0] + (
        "sweep power over 1,4 {\n steer more { add topic by power at layer 1 }\n"
        " s = evaluate more on a.all with kl, max_tokens: 6, draws: 2\n}\n"
        "check s.kl > baseline with confidence: 95%\ncheck s.kl.a - random > -100 with confidence: 95%\n"
    )
    code, _, err = on_tiny("run", "-e", text, "--out", "r")
    assert code == 0, err
    assert [(c["at"]["power"], c["outcome"]) for c in record("r")["checks"]] == [(p, "holds") for p in "1414"]
    assert {c["family"] for c in record("r")["checks"]} == {4}


SWEPT = SCORED.split("steer more")[0].replace("take: 30", "take: 6") + (
    "sweep power over 1,2,3 {\n steer more { add topic by power at layer 1 }\n"
    " s = evaluate more on a.all with kl, max_tokens: 3, controls: none\n INNER\n}\n"
    "sweep part over 25%,50% {\n steer less { ablate topic by part at layer 1 }\n"
    " t = evaluate less on a.all with kl, max_tokens: 3, controls: none\n OTHER\n}\n"
)


@pytest.mark.parametrize(
    ("inner", "other", "after", "points"),
    [
        ("check s.kl.a > -1", "", "", [("1",), ("2",), ("3",)]),
        ("", "", "check s.kl.a > -1", [("1",), ("2",), ("3",)]),
        ("", "check t.kl.a > -1", "", [("25%",), ("50%",)]),
        ("", "", "check s.kl.a > t.kl.a - 99", [(p, q) for p in "123" for q in ("25%", "50%")]),
        ("", "check t.kl.a > s.kl.a - 99", "", [(p, q) for q in ("25%", "50%") for p in "123"]),
        ("", "check s.kl.a > -1", "", [(q, p) for q in ("25%", "50%") for p in "123"]),
    ],
)
def test_a_claim_is_made_once_at_each_point_that_it_reads(
    on_tiny: Any, inner: str, other: str, after: str, points: list[tuple[str, ...]]
) -> None:
    text = SWEPT.replace("INNER", inner).replace("OTHER", other) + after + "\n"
    code, out, err = on_tiny("run", "-e", text, "--out", "r")
    assert code == 0, err
    found = [c["at"] for c in record("r")["checks"]]
    assert sorted(map(sorted, (at.values() for at in found))) == sorted(map(sorted, points))
    assert f"at {len(points)} of {len(points)} points" in " ".join(out.split())


def test_a_claim_at_too_many_pairs_of_points_is_refused_before_the_run(on_tiny: Any) -> None:
    text = SWEPT.replace("1,2,3", "1..150").replace("25%,50%", "1%..100% step 1%").replace("INNER", "")
    code, _, err = on_tiny("plan", "-e", text.replace("OTHER", "") + "check s.kl.a > t.kl.a\n")
    assert code == 1 and "error[S412]" in err and "15000" in err


def test_the_tests_of_a_recipe_are_counted_once(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of a recipe with many claims takes no longer for each than that of one with few."""
    counted, family = [], power.family
    monkeypatch.setattr(power, "family", lambda recipe: counted.append(recipe) or family(recipe))
    claims = "".join(f"check s.kl.a > {i / 100} with confidence: 95%\n" for i in range(20))
    code, out, err = on_tiny("plan", "-e", SCORED + claims)
    assert code == 0 and "over the 20 claims with a confidence" in " ".join(out.split()), err
    assert len(counted) == 1


def test_a_long_text_of_a_recipe_does_not_make_the_plan_long(on_tiny: Any) -> None:
    """Every line of a table is as wide as its longest: 100,000 characters once were 2 MB of blanks."""
    words = 'keyword_rate(["tax", "' + "x" * 100_000 + '"])'
    code, out, err = on_tiny("plan", "-e", SCORED.replace("distinct_2", words))
    assert code == 0 and len(out) < 100_000 and "(100," in out and "characters)" in out, err
    code, out, _ = on_tiny("plan", "-e", SCORED.replace("distinct_2", words), "--json")
    assert "x" * 100_000 in out
