"""Runs that are killed, and runs beside each other: the same command goes on and ends as if undisturbed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from steerdsl.running import record as records
from steerdsl.store.folder_locks import claim, release

ROOT = Path(__file__).parents[2]
SMALL = """
dataset a = econ with take: 8, seed: 1
dataset b = generic with take: 8, seed: 1
topic = extract diffmean from a vs b at mean_content
steer less { ablate topic at layers 1..2 }
out = generate from a with steer: less, max_tokens: 4
"""


def trial(*words: str) -> str:
    """Run the script that kills runs; returns what it found."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "run" / "hundred_kills.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_few_kills_and_two_runs_at_once() -> None:
    said = trial("--kills", "3", "--seed", "1", "--together")
    assert said.startswith("3 kills, ") and said.endswith("two runs at once with one store: both equal\n")


@pytest.mark.slow
def test_a_hundred_kills() -> None:
    said = trial("--kills", "100")
    torn = re.search(r"(\d+) times a folder half written", said)
    assert said.startswith("100 kills, ") and torn and int(torn[1]) > 0


def test_what_stopped_runs_left_is_removed_once_a_run_of_that_name_ends(on_tiny: Any) -> None:
    Path("runs").mkdir()
    names = ("mine.11.partial", "mine.0123456789ab.old", "mine.13.partial", "mine-2.14.partial", "mine.note")
    for name in names[:2] + names[3:]:
        (Path("runs") / name).mkdir()
    held = claim(Path("runs/mine.13.partial"))  # of a run that is going on
    code, _, err = on_tiny("run", "-e", SMALL, "--out", "runs/mine")
    release(held)
    assert code == 0
    assert "removed runs/mine.11.partial, which a stopped run had left" in err
    assert sorted(p.name for p in Path("runs").iterdir()) == [
        "mine",
        "mine-2.14.partial",
        "mine.13.partial",
        "mine.note",
    ]


def test_names_with_a_time_belong_together(on_tiny: Any) -> None:
    Path("runs/recipe-20260101-000000.5.partial").mkdir(parents=True)
    Path("runs/recipe-2-20260101-000000.5.partial").mkdir()
    assert on_tiny("run", "-e", SMALL, "--quiet")[0] == 0
    made = sorted(p.name for p in Path("runs").iterdir())
    assert len(made) == 2 and made[0] == "recipe-2-20260101-000000.5.partial"
    assert re.fullmatch(r"recipe-\d{8}-\d{6}", made[1])


def test_a_truncated_result_is_said_and_made_again(on_tiny: Any, tmp_path: Path) -> None:
    assert on_tiny("run", "-e", SMALL, "--out", "one")[0] == 0
    for path in (tmp_path / "cache" / "store").rglob("answers.jsonl"):
        path.write_bytes(path.read_bytes()[:-1])
    code, _, err = on_tiny("run", "-e", SMALL, "--out", "two")
    assert code == 0 and "answers.jsonl was damaged and is made again" in err
    for name in ("generations.jsonl", "scores.json", "vectors/topic.safetensors"):
        assert (Path("one") / name).read_bytes() == (Path("two") / name).read_bytes()


def test_a_result_of_other_makers_is_told(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = records.versions()

    def run(out: str, method: str = "pca", **versions: str) -> tuple[dict[str, Any], str]:
        monkeypatch.setattr(records, "versions", lambda: {**real, **versions})
        code, _, err = on_tiny("run", "-e", SMALL.replace("diffmean", method), "--out", out)
        assert code == 0
        return json.loads((Path(out) / "record.json").read_text()), err

    first, err = run("first", torch="1.0")
    assert first["reused_from"] == [] == first["warnings"] and "warning" not in err
    second, err = run("second")
    there = {name: real[name] for name in ("torch", "transformers", "nnsight", "numpy")}
    made = {**there, "torch": "1.0", "device": "cpu", "threads": str(torch.get_num_threads()), "on": "local"}
    assert second["reused_from"] == [
        {"step": 1, "kind": "vector", "made_with": made},
        {"step": 3, "kind": "answers", "made_with": made},
    ]
    warning = f"what the store had for steps 1, 3 was made with torch 1.0 (now {real['torch']})"
    assert second["warnings"] == [warning] and err.count(f"warning: {warning}\n") == 1
    # A vector that is made now of statistics of then says so, whenever it is read.
    for out in ("third", "fourth"):
        kind = "activations" if out == "third" else "vector"
        assert run(out, "diffmean_unit")[0]["reused_from"] == [{"step": 1, "kind": kind, "made_with": made}]


def test_a_result_that_does_not_say_what_made_it_is_not_spoken_of(
    on_tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert on_tiny("run", "-e", SMALL, "--out", "one")[0] == 0
    for path in (tmp_path / "cache" / "store").rglob("meta.json"):
        meta = json.loads(path.read_text())
        assert meta.pop("made_with")
        path.write_text(json.dumps(meta))
    real = records.versions()
    monkeypatch.setattr(records, "versions", lambda: {**real, "torch": "1.0"})
    code, _, err = on_tiny("run", "-e", SMALL, "--out", "two")
    found = json.loads(Path("two/record.json").read_text())
    assert code == 0 and "warning" not in err and found["reused_from"] == found["warnings"] == []


def test_a_run_from_the_store_leaves_the_record_of_the_first(on_tiny: Any) -> None:
    found = []
    for name in ("one", "two"):
        assert on_tiny("run", "-e", SMALL, "--out", name)[0] == 0
        record = json.loads((Path(name) / "record.json").read_text())
        for times in (record, *record["timings"]):
            times.pop("seconds")
        found.append({key: value for key, value in record.items() if key != "started"})
    assert found[0] == found[1] and found[1]["model"]["n_heads"] == 4
