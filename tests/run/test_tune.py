"""Searches from the command line, on a model whose best point is known: what is chosen, kept, warned and refused."""

from __future__ import annotations

import json
import math
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import planted_best as planted
import pytest

from steerdsl.engine import evaluation

BODY = """
tune depth over 0..2 and strength over 0..4 {
  steer pushed { add v by strength at layers depth }
  found = evaluate pushed on a, b with cross_entropy
  minimize cross_entropy.a LIMITS with trials: TRIALS, seed: SEED
}
"""
AFTER = """
steer tuned { add v by best.strength at layers best.depth }
final = evaluate tuned on a with cross_entropy, controls: none
"""
RECIPE = planted.HEAD + BODY + AFTER


@pytest.fixture
def tuned(steerdsl: Any, tmp_path: Path) -> Any:
    """`tuned(OUT, trials=…)` runs the recipe; gives the exit code, what it said and the record."""
    model = planted.write(tmp_path / "work")

    def call(out: str, recipe: str = RECIPE, command: str = "run", **filled: Any) -> Any:
        text = recipe
        for name, value in {"limits": "", "trials": 40, "seed": 0, **filled}.items():
            text = text.replace(name.upper(), str(value))
        Path("r.steer").write_text(text)
        on = ("--model", str(model), "--dtype", "float32", "--device", "cpu") if command != "check" else ()
        code, said, err = steerdsl(command, "r.steer", *on, *(("--out", out) if command == "run" else ()))
        file = Path(out) / "record.json"
        return code, said + err, json.loads(file.read_text()) if file.exists() else None

    return call


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steer of each evaluation whose figures are made and not taken from the store."""
    made: list[str] = []
    plain = evaluation._score

    def counted(run: Any, step: Any, *more: Any) -> Any:
        made.append(step.steer)
        return plain(run, step, *more)

    monkeypatch.setattr(evaluation, "_score", counted)
    return made


USED = """
sweep share over 0, 0.5, 1 {
  steer part { add v by share * best.strength at layers best.depth }
  parts = evaluate part on a with cross_entropy, controls: none
}
moved = best.strength * v
steer whole { add moved by 1 at layers best.depth }
end = evaluate whole on a with cross_entropy, controls: none
"""


def test_what_was_chosen_is_used_in_sweeps_in_sums_and_in_what_is_answered_with_them(tuned: Any) -> None:
    code, said, record = tuned("r", planted.HEAD + BODY + USED, trials=16)
    assert code == 0, said
    assert record["packages"]["optuna"] == metadata.version("optuna")
    strength = record["searches"]["best"]["best"]["values"]["strength"]
    scores = json.loads(Path("r/scores.json").read_text())
    found = {p["at"]["share"]: p["scores"]["cross_entropy"]["a"]["part"]["mean"] for p in scores["parts"]["points"]}
    wanted = {share: planted.loss_a(float(share) * strength) for share in ("0", "0.5", "1")}
    assert found == pytest.approx(wanted, abs=2e-4)
    assert scores["end"]["cross_entropy"]["a"]["whole"]["mean"] == pytest.approx(wanted["1"], abs=2e-4)


def near(record: Any, wanted: float) -> bool:
    """Whether the planted layer was chosen, and a strength within 5% of the range from the wanted one."""
    best = record["searches"]["best"]["best"]
    return best["layers"]["depth"] == planted.LAYER and abs(best["values"]["strength"] - wanted) <= 0.05 * 4


def test_the_planted_best_is_found_and_scored_on_what_is_held_out(tuned: Any) -> None:
    code, said, record = tuned("r")
    assert code == 0 and near(record, planted.best())
    search = record["searches"]["best"]
    trials = search["trials"]
    assert len(trials) == 40 == len({tuple(t["at"].items()) for t in trials})
    for trial in trials:  # each figure is the formula's
        strength = trial["values"]["strength"] if trial["layers"]["depth"] == planted.LAYER else None
        if strength is not None:
            assert trial["goal"] == pytest.approx(planted.loss_a(strength), abs=2e-4)
    scores = json.loads(Path("r/scores.json").read_text())
    assert len(scores["found"]["points"]) == 40
    final = scores["final"]["cross_entropy"]["a"]["tuned"]["mean"]
    assert final == pytest.approx(planted.loss_a(search["best"]["values"]["strength"]), abs=2e-4)
    assert "working range" in said and search["best"]["at"]["strength"] in said
    report = Path("r/report.html").read_text()
    assert "Searches" in report and "working range: strength" in report and report.count("<td>best</td>") == 1


def test_the_working_range_ends_where_the_goal_or_a_limit_does(tuned: Any) -> None:
    limit = round(planted.loss_b(1.8), 4)
    search = tuned("r", limits=f"subject to cross_entropy.b < {limit}")[2]["searches"]["best"]
    (found,) = search["ranges"]
    top = planted.loss_a(search["best"]["values"]["strength"])
    line = sorted((t["values"]["strength"], t) for t in search["trials"] if t["layers"]["depth"] == planted.LAYER)
    good = [s for s, _ in line if planted.loss_a(s) <= 1.1 * top and planted.loss_b(s) < limit]
    assert (found["low"], found["high"], found["trials"]) == (good[0], good[-1], len(good))
    assert f"`cross_entropy.b < {limit}` does not hold" in found["above"] and "the goal is" in found["below"]


def test_an_infeasible_best_is_never_chosen(tuned: Any) -> None:
    limit = (planted.loss_b(0.6) + planted.loss_b(0.61)) / 2
    _, _, record = tuned("r", limits=f"subject to cross_entropy.b < {limit}")
    wanted = planted.best(limit)
    assert 0.6 <= wanted < 0.61 and near(record, wanted)
    best = record["searches"]["best"]["best"]
    assert best["feasible"] and best["values"]["strength"] <= wanted
    assert any(t["goal"] < best["goal"] and not t["feasible"] for t in record["searches"]["best"]["trials"])


def test_a_seed_gives_one_choice_and_a_second_run_takes_everything_from_the_store(
    tuned: Any, scored: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = tuned("r", trials=16)[2]["searches"]
    assert scored.count("pushed") == 2 * 16 and scored.count("tuned") == 1
    scored.clear()
    assert tuned("again", trials=16)[2]["searches"] == first and not scored
    other = tuned("other", trials=16, seed=1)[2]["searches"]
    assert other["best"]["trials"] != first["best"]["trials"]
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "fresh"))
    assert tuned("fresh", trials=16)[2]["searches"] == first


def test_more_trials_only_add_trials(tuned: Any, scored: list[str]) -> None:
    few = tuned("few", trials=12)[2]["searches"]["best"]["trials"]
    scored.clear()
    more = tuned("more", trials=24)[2]["searches"]["best"]["trials"]
    assert more[:12] == few and scored.count("pushed") == 2 * 12


def test_a_search_that_was_stopped_goes_on(tuned: Any, scored: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    plain, seen = evaluation._score, []

    def stop(run: Any, step: Any, *more: Any) -> Any:
        seen.append(step)
        if len(seen) == 2 * 11:
            raise KeyboardInterrupt
        return plain(run, step, *more)

    monkeypatch.setattr(evaluation, "_score", stop)
    assert tuned("stopped", trials=16)[0] == 130
    monkeypatch.setattr(evaluation, "_score", plain)
    scored.clear()
    assert tuned("r", trials=16)[0] == 0
    assert scored.count("pushed") == 2 * (16 - 10)


def test_nothing_that_keeps_the_limits(tuned: Any) -> None:
    code, said, record = tuned("r", limits="subject to cross_entropy.b < 9, cross_entropy.b < 0.1", trials=8)
    assert code == 4 and "R931" in said and "`cross_entropy.b < 0.1` binds" in said
    search = record["searches"]["best"]
    assert search["best"] is None and len(search["trials"]) == 8 and record["state"] == "failed"
    nearest = min(search["trials"], key=lambda t: t["over"][1])
    assert f"strength {nearest['at']['strength']}: the goal is" in said


def test_a_goal_that_is_constant(tuned: Any) -> None:
    code, said, record = tuned("r", RECIPE.replace("cross_entropy.a LIMITS", "0 * cross_entropy.a"), trials=8)
    assert code == 0 and "the goal is 0 at every trial:" in said
    assert record["searches"]["best"]["best"] == record["searches"]["best"]["trials"][0]


def test_a_trial_that_fails_is_marked_and_the_rest_goes_on(tuned: Any) -> None:
    wild = RECIPE.replace("over 0..4", "over 0..1e38").replace("by strength at", "by 1e3 * strength at")
    code, said, record = tuned("r", wild, trials=8)
    trials = record["searches"]["best"]["trials"]
    assert any(t["failed"] and t["goal"] is None and not t["feasible"] for t in trials)
    assert code == 3 and "R932" in said and "no trial of `best` has a score" in said and record["state"] == "failed"


def test_a_few_trials_that_fail_are_marked_and_the_rest_goes_on(tuned: Any) -> None:
    wild = RECIPE.replace("over 0..4", "over 0..4 step 1").replace("by strength at", "by 1e38 * strength at")
    code, said, record = tuned("r", wild.replace("1..4", "0..4"), trials=15)
    trials = record["searches"]["best"]["trials"]
    assert {t["failed"] is None for t in trials} == {True, False}
    assert code == 0 and "failed, the first at" in said and record["failed"] == []


def test_every_point_is_tried_once_where_there_are_few(tuned: Any) -> None:
    few = RECIPE.replace("strength over 0..4", "strength over 0..4 step 2")
    trials = tuned("r", few, trials=40)[2]["searches"]["best"]["trials"]
    assert len(trials) == 9 and {t["at"]["strength"] for t in trials} == {"0", "2", "4"}


def test_what_was_tuned_on_is_warned_of_as_what_was_fitted_on(tuned: Any) -> None:
    text = RECIPE.replace("tuned on a with", "tuned on a.tune with")
    _, said, _ = tuned("", text, command="check")
    assert "warning[S450]: `a.tune` holds rows that `best` was fitted on" in said
    _, said, _ = tuned("", RECIPE, command="check")
    assert "S450" not in said


def test_the_plan_shows_what_is_set_aside_and_what_was_chosen(tuned: Any) -> None:
    _, said, _ = tuned("", command="plan", trials=8)
    rows = [len((Path(f"{name}.jsonl")).read_text().splitlines()) for name in "ab"]
    assert rows == [24, 24] and "of a, 50% of its training rows" in said and "(layers 0 to 2)" in said
    best = tuned("r", trials=8)[2]["searches"]["best"]["best"]
    _, said, _ = tuned("", command="plan", trials=8)
    assert f"depth {best['at']['depth']}, strength {best['at']['strength']}" in said


def test_without_optuna_the_message_names_the_command(tuned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from steerdsl.planning import searches

    monkeypatch.setattr(searches, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, said, _ = tuned("r", trials=8)
    assert code != 0 and "R930" in said and 'pip install "steerdsl[tune]"' in said


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_trials_share_batches(steerdsl: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    from steerdsl.engine import generate_shared

    rows: list[int] = []
    plain = generate_shared.answer
    monkeypatch.setattr(
        generate_shared, "answer", lambda session, own, *more: (rows.append(len(own)), plain(session, own, *more))[1]
    )
    text = """
dataset d = econ with take: 12, held_out: 25%, tune: 50%
topic = extract diffmean from d vs generic at mean_content
tune strength over 0..4 {
  steer pushed { add topic by strength at layers 1 }
  e = evaluate pushed on d with distinct_1, max_tokens: 4
  maximize distinct_1.d with trials: 8, batch: 4
}
"""
    words = ("--model", str(tiny_model), "--dtype", dtype, "--device", "cpu", "--out")
    assert steerdsl("run", "-e", text, *words, "r")[0] == 0
    prompts = len({row["prompt"] for row in map(json.loads, Path("r/generations.jsonl").read_text().splitlines())})
    # One prompt, then all others, of four trials and in the first batch of the unsteered model.
    again = 4 if dtype == "float32" else 5
    assert rows == [5, 5 * (prompts - 1), again, again * (prompts - 1)]
    record = json.loads(Path("r/record.json").read_text())
    assert not any("breaks the model" in warning for warning in record["warnings"])
    assert steerdsl("run", "-e", text + "plot e.distinct_1.d over strength\n", *words, "more")[0] == 0
    assert len(rows) == 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("limited", [False, True])
def test_twenty_seeds_of_twenty_find_the_planted_best(tuned: Any, seed: int, limited: bool) -> None:
    limit = planted.loss_b(0.8)
    record = tuned("r", seed=seed, limits=f"subject to cross_entropy.b < {limit}" if limited else "")[2]
    assert near(record, planted.best(limit if limited else math.inf))
    assert record["searches"]["best"]["best"]["feasible"]
