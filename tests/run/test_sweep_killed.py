"""A sweep that is killed without warning, and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TEXT = """
dataset a = econ with take: 30, held_out: 0%
dataset b = generic with take: 4, held_out: 0%
topic = extract diffmean from a vs b at mean_content
sweep angle over 0deg..270deg step 90deg {
  steer turned { rotate plane(topic[1], random) to angle }
  out = generate from a with steer: turned, max_tokens: 60
}
"""


def lines(folder: Path) -> list[dict[str, Any]]:
    file = folder / "generations.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")] if file.exists() else []


@pytest.mark.slow
def test_the_same_command_continues(tiny_model: Path, tmp_path: Path) -> None:
    def start(out: str, cache: str) -> subprocess.Popen[bytes]:
        words = ["run", "-e", TEXT, "--model", str(tiny_model), "--dtype", "float32", "--device", "cpu"]
        words += ["--out", out, "--batch-size", "1", "--quiet"]
        given = {**os.environ, "STEERDSL_CACHE": str(tmp_path / cache), "PYTHONPATH": str(ROOT)}
        return subprocess.Popen([sys.executable, "-m", "steerdsl.cli.main", *words], cwd=tmp_path, env=given)

    killed = start("first", "cache")
    for _ in range(6000):
        if any(len(lines(left)) >= 12 for left in tmp_path.glob("first.*.partial")):
            break
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = [path for path in (tmp_path / "cache").rglob("meta.json") if _kind(path) == "batch"]
    assert 2 < len(before) < 120 and not (tmp_path / "first").exists()
    written = {path: path.stat().st_mtime_ns for path in before}
    assert start("second", "cache").wait() == 0 and start("whole", "other").wait() == 0
    assert lines(tmp_path / "second") == lines(tmp_path / "whole") and len(lines(tmp_path / "second")) == 120
    # What was there was read, not made again, and put away when all was done.
    assert not any(path.exists() for path in written)


def _kind(path: Path) -> str:
    return str(json.loads(path.read_text())["kind"])
