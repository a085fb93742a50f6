"""What is made ready of a recipe: the values that its steers act with, and none of its measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

import steerdsl
from steerdsl.lang.source import Source
from steerdsl.pipeline import recipe_to_plan, text_to_recipe
from steerdsl.planning.plan import RunOptions
from steerdsl.serving.steers import ready

TUNED = """
dataset a = econ with take: 16, held_out: 25%, tune: 25%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
tune strength over 1..3 {
    steer tried { add topic by strength at layer 1 }
    scores = evaluate tried on a with keyword_rate("econ"), max_tokens: 4, controls: none
    maximize scores.keyword_rate.a with trials: 3
}
steer tuned { add topic by best.strength at layer 1 }
final = evaluate tuned on a.held_out with keyword_rate("econ"), max_tokens: 4, controls: none
"""


def test_a_tuned_steer_acts_with_the_number_that_the_search_chose(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    checked, found = text_to_recipe(Source("tuned.steer", TUNED), tmp_path)
    assert checked is not None, found
    options = RunOptions(model=str(tiny_model), dtype="float32", device="cpu")
    steers = ready(recipe_to_plan(checked, options, fetch=True))
    assert "tuned" in steers.names and not steers.run.results.scores.select(evaluation="final")
    (op,) = steers.named("tuned").ops
    again = steerdsl.run(TUNED, model=str(tiny_model), out=tmp_path / "run", dtype="float32", device="cpu")
    assert op.args["by"].value == pytest.approx(again.record["searches"]["best"]["best"]["values"]["strength"])
