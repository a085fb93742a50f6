"""The benchmarks run: as little of each as there can be, on a tiny model, whose figures mean nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_folder

ROOT = Path(__file__).parents[2]
LAYERS = 23  # the recipes name layers up to 22


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "deep", num_hidden_layers=LAYERS)


def printed(model: Path, tmp_path: Path, program: str, *words: str) -> str:
    """What a benchmark prints."""
    command = [sys.executable, str(ROOT / "benchmarks" / program), "--model", str(model), "--device", "cpu", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STEERDSL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_each_way_of_a_recipe_makes_the_same_answers(model: Path, tmp_path: Path) -> None:
    words = ("--case", "sweep", "--prompts", "4", "--tokens", "3", "--turns", "1")
    found: dict[str, Any] = json.loads(printed(model, tmp_path, "end_to_end.py", *words))["sweep"]
    assert found["answers_equal"] == 1.0
    assert set(found["against"]["hooks, batch 16"]) == {"steerdsl", "hooks, batch 16", "hooks, one batch"}
    assert found["answers"] % 36 == 0 and found["answers"] > 0


@pytest.mark.slow
def test_growth_is_measured_on_every_axis(model: Path, tmp_path: Path) -> None:
    found = json.loads(printed(model, tmp_path, "growth.py", "--sizes", "1", "3"))
    assert set(found) == {"prompts", "tokens", "points"}
    assert all([row["size"] for row in axis["sizes"]] == [1, 3] for axis in found.values())


@pytest.mark.slow
def test_the_gpu_program_runs_without_one(model: Path, tmp_path: Path) -> None:
    lines = printed(model, tmp_path, "gpu.py", "--small", "--turns", "1", "--seconds", "100000").splitlines()
    found = {name: part for line in lines for name, part in json.loads(line).items()}
    assert {"about", "steering", "rows", "back-off", "end to end", "seconds"} <= set(found)
    assert [row["rows"] for row in found["rows"]] == [1, 2]


@pytest.mark.slow
def test_a_part_that_has_no_time_is_not_begun(model: Path, tmp_path: Path) -> None:
    lines = printed(model, tmp_path, "gpu.py", "--small", "--seconds", "0").splitlines()
    assert sum("not begun" in line for line in lines) == 4


@pytest.mark.slow
def test_requests_and_first_tokens_are_compared(model: Path, tmp_path: Path) -> None:
    found = json.loads(printed(model, tmp_path, "serve.py", "--tokens", "4", "--turns", "1", "--layer", "2"))
    assert {len(made) for made in found["requests"]["tokens"].values()} == {1, 8}
    assert set(found["first token"]["against"]) == {"plain transformers", "chat, two answers"}
