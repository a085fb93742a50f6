"""A recipe over threads, batch sizes and dtypes: which settings, what is kept, and the table of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from blocks import ROOT
from tiny import tiny_folder

sys.path.insert(0, str(ROOT / "docs" / "gallery"))

import figures
import records
import variations

FACTORS = {"threads": [2, 1], "batch": [16, 5, 8], "dtype": ["bf16", "float32"]}
RECIPE = """edition 1

dataset a = econ with take: 20, held_out: 50%
dataset b = generic with take: 20, held_out: 50%
topic = extract diffmean from a vs b
ablate topic at layer 1
s = evaluate on a, b with kl, max_tokens: 4, controls: random
check s.kl.a > s.kl.b
"""


def test_one_factor_at_a_time_or_all() -> None:
    one = list(variations.settings(FACTORS, False))
    assert one[0] == {"threads": 2, "batch": 16, "dtype": "bf16"}
    assert [sum(s[k] != one[0][k] for k in s) for s in one] == [0, 1, 1, 1, 1]
    every = list(variations.settings(FACTORS, True))
    assert every[0] == one[0] and len({tuple(s.values()) for s in every}) == 2 * 3 * 2


def figure(mean: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, **more}


def test_the_table_has_each_setting_the_range_and_in_how_many_a_difference_is_settled() -> None:
    found = [
        {
            "setting": setting,
            "recipe_sha256": "0",
            "more": [],
            "model": "tiny",
            "device": "cpu",
            "packages": {},
            "seconds": 3,
            "figures": {
                "s.kl.a.cold": figure(mean, 1.0, 3.0, n=50),
                "s.kl.a.cold − random": figure(mean - 2, 0.0, 1.0, p_holm=p),
                "s.bleu.a.cold": figure(9.0, 8.0, 10.0, n=50),
            },
            "claims": {"check s.kl.a > 2": holds},
        }
        for setting, mean, p, holds in zip(
            variations.settings({"threads": [2, 1], "dtype": ["bf16", "float32"]}, False),
            (2.5, 1.5, 3.25),
            (0.01, 0.04, 0.2),
            (True, False, None),
            strict=True,
        )
    ]
    record = variations.collected(Path("made.steer"), found, ["*.kl.*"])
    assert list(record["figures"]) == ["s.kl.a.cold", "s.kl.a.cold − random"]
    table = figures.variations_table(record).splitlines()
    assert table == [
        "|  | threads 2, dtype bf16 | threads 1 | dtype float32 | range |",
        "| --- | --- | --- | --- | --- |",
        "| s.kl.a.cold | 2.5 [1, 3] | 1.5 [1, 3] | 3.25 [1, 3] | 1.5 to 3.25, n = 50 |",
        "| s.kl.a.cold − random | 0.5 [0, 1], p = .010 | -0.5 [0, 1], p = .040 | 1.25 [0, 1], p = .200 |"
        " -0.5 to 1.25; p = .010 to .200; settled in 1 of 3 |",
        "| `check s.kl.a > 2` | yes | no | not settled | holds in 1 of 3 |",
    ]
    still = variations.collected(Path("made.steer"), found, ["*.bleu.*"])
    assert figures.variations_table(still).splitlines()[2].endswith("| 9, n = 50 |")  # it did not move
    with pytest.raises(SystemExit, match="no figure of"):
        variations.collected(Path("made.steer"), found, ["rouge"])


def test_a_finished_setting_is_not_run_again_and_another_recipe_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, calls = tmp_path / "r.steer", []
    recipe.write_text("edition 1\n", encoding="utf-8")

    def run(*asked: Any) -> dict[str, Any] | None:
        calls.append(asked)
        return {"seconds": 1, "figures": {}} if len(calls) != 2 else None

    monkeypatch.setattr(variations, "run", run)
    setting = {"threads": 1, "batch": 5, "dtype": "bf16"}
    assert variations.each(recipe, setting, tmp_path, [], "1 of 1") is not None
    assert variations.each(recipe, setting, tmp_path, [], "1 of 1") is not None and len(calls) == 1
    recipe.write_text("edition 1\ntopic = extract diffmean from econ vs generic\n", encoding="utf-8")
    assert variations.each(recipe, setting, tmp_path, [], "1 of 1") is None and len(calls) == 2  # it failed
    assert variations.each(recipe, setting, tmp_path, [], "1 of 1") is not None and len(calls) == 3
    assert variations.each(recipe, setting, tmp_path, ["--seed", "1"], "1 of 1") is not None and len(calls) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.steer", "threads-1_batch-5_dtype-bf16.json"]


RUN = {"batch_size": "auto", "dtype": "float32", "device": "cpu", "set": [], "model": None}
BASE = {"threads": 1, "batch": "auto", "dtype": "float32"}


def made_run(folder: Path, **changes: Any) -> Path:
    """A run directory with what the variations read of it."""
    record = {
        "recipe": {"text": "# words\nedition 1\n"},
        "machine": {"threads": 1},
        "run": RUN,
        "reused_from": [],
        "model": {"id": "/models/tiny"},
        "packages": {},
        "seconds": 2.6,
        "checks": [{"claim": "check s.kl.a > 2", "holds": None}],
        **changes,
    }
    figures = {**figure(2.0, 1.0, 3.0), "n": 50, "values": [2.0]}
    folder.mkdir()
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "scores.json").write_text(json.dumps({"s": {"kl": {"a": {"cold": figures}}}}), encoding="utf-8")
    return folder


def test_a_run_made_before_is_the_base_and_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "r.steer"
    recipe.write_text("edition 1\n", encoding="utf-8")
    variations.keep_base(made_run(tmp_path / "run"), recipe, BASE, tmp_path, [])
    monkeypatch.setattr(variations, "run", lambda *asked: pytest.fail("it was run again"))
    found = variations.each(recipe, BASE, tmp_path, [], "1 of 1")
    assert found is not None and found["figures"] == {"s.kl.a.cold": {"mean": 2.0, "low": 1.0, "high": 3.0, "n": 50}}
    assert (found["model"], found["seconds"], found["wall"]) == ("tiny", 3, 3)
    assert found["claims"] == {"check s.kl.a > 2": None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machine": {"threads": 2}}, "threads is 2"),
        ({"run": {**RUN, "batch_size": 8}}, "batch is 8"),
        ({"run": {**RUN, "dtype": "bfloat16"}}, "dtype is bfloat16"),
        ({"run": {**RUN, "set": ["strength=2"]}}, r"set is \['strength=2'\]"),
        ({"run": {**RUN, "model": "tiny"}}, r"model is \['tiny'\]"),
        ({"reused_from": [{"kind": "vector"}]}, "taken from the store is 1"),
        ({"recipe": {"text": "edition 1\nablate topic\n"}}, "recipe is"),
    ],
)
def test_a_run_of_another_setting_is_refused_as_the_base(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    recipe = tmp_path / "r.steer"
    recipe.write_text("edition 1\n", encoding="utf-8")
    run = made_run(tmp_path / "run", **changes)
    with pytest.raises(SystemExit, match=f"cannot be the base: {said}"):
        variations.keep_base(run, recipe, BASE, tmp_path, [])
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.slow
def test_a_recipe_is_run_in_each_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.steer").write_text(RECIPE, encoding="utf-8")
    model = tiny_folder(tmp_path / "tiny")
    out = tmp_path / "out"
    command = [
        str(tmp_path / "r.steer"),
        "--threads",
        "1",
        "--batch",
        "16",
        "2",
        "--dtype",
        "float32",
        "--out",
        str(out),
    ]
    monkeypatch.setattr(sys, "argv", ["variations.py", *command, "--model", str(model), "--offline"])
    assert variations.main() == 0
    record = json.loads((out / "variations.json").read_text(encoding="utf-8"))
    assert [s["batch"] for s in record["settings"]] == [16, 2]
    kl = record["figures"]["s.kl.a.main"]
    assert kl["mean"][0] > 0 and kl["mean"][0] == pytest.approx(kl["mean"][1], rel=0.01)
    assert record["figures"]["s.kl.a.main − random"]["p_holm"][0] is not None
    assert "| `check s.kl.a > s.kl.b` |" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(records.HERE.glob("*.variations.json")), ids=lambda path: path.stem)
def test_kept_variations_are_of_the_recipe_as_it_is(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    alone = path.name.startswith(f"{record['recipe']}_claims.") or record["recipe"].endswith("_few")
    folder = records.HERE / "claims" if alone else ROOT / "recipes"
    text = (folder / f"{record['recipe']}.steer").read_text(encoding="utf-8")
    assert record["recipe_sha256"] == records.essence(text)
