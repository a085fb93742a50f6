"""The source distribution gives a wheel, and a recipe runs from that wheel alone."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from tiny import tiny_folder

ROOT = Path(__file__).parents[2]
RECIPE = """
dataset a = econ with take: 6, seed: 1
dataset b = generic with take: 6, seed: 1
topic = extract diffmean from a vs b
steer less { ablate topic at layers 1 }
evaluate less on a with bleu, max_tokens: 3
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files, built from the sdist as an installer would build it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def call(site: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the wheel's own code, with no other steerdsl on the path: -S leaves out installed .pth files."""
    packages = sysconfig.get_paths()["purelib"]
    env = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{packages}", "STEERDSL_CACHE": str(cwd / "cache")}
    env["XDG_CACHE_HOME"] = str(cwd / "xdg")
    code = "import steerdsl; print(steerdsl.__path__[0]); from steerdsl.cli.main import main; main()"
    command = [sys.executable, "-S", "-c", code, *words]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_the_wheel_holds_what_is_read_at_run_time(installed: Path) -> None:
    for name in (
        "grammars/steer.lark",
        "lang/codes/S304.md",
        "data/builtin/econ.jsonl",
        "data/builtin/econ.words.txt",
        "models/builtin/SmolLM2-135M-Instruct/config.json",
    ):
        assert (installed / "steerdsl" / name).is_file(), name


def test_a_recipe_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    model = tiny_folder(tmp_path / "model")
    (tmp_path / "r.steer").write_text(RECIPE)
    done = call(installed, tmp_path, "run", "r.steer", "--model", str(model), "--dtype", "float32", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(installed / "steerdsl")
    assert (tmp_path / "out/record.json").is_file() and "bleu" in done.stdout
