"""Every recipe of the gallery is ejected, and its program gives the run's own answers and vectors."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tiny import tiny_folder

from steerdsl.cli import main as cli

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.steer"))
# Small sizes for the params of a recipe, where it has them.
SIZES = {"rows": "24", "tokens": "3"}
CONTROLS = ("random", "prompted", "reference")  # left to `steerdsl run`


def shorter(text: str) -> str:
    """A recipe with fewer rows, points and tokens, and no controls; what a judge would score is scored by bleu.
    Pictures and claims do not reach a program."""
    text = re.sub(r"max_tokens: \d+", "max_tokens: 3", text)
    text = re.sub(r"step 10deg", "step 120deg", text)
    text = re.sub(r"judge_\w+(, judge_\w+)*", "bleu", text)
    text = re.sub(r", controls: \w+", "", text)
    text = re.sub(r"(max_tokens: \w+|multiple_choice)", r"\1, controls: none", text)
    statements = re.split(r"\n(?=\S|\n)", text)
    return "\n".join(_small(statement) for statement in statements if not statement.startswith(("plot ", "check ")))


def _small(statement: str) -> str:
    """A statement with no more than 24 rows, where it declares data."""
    if not statement.startswith("dataset ") or "take:" in statement:
        return statement
    return f"{statement}{',' if ' with ' in statement else ' with'} take: 24"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The recipes, shortened, beside their data and a model as deep as the default one."""
    place = tmp_path_factory.mktemp("gallery")
    shutil.copytree(RECIPES / "data", place / "data")
    for name in NAMES:
        (place / f"{name}.steer").write_text(shorter((RECIPES / f"{name}.steer").read_text("utf-8")), "utf-8")
    tiny_folder(place / "model", "llama", num_hidden_layers=30, max_position_embeddings=4096)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEERDSL_CACHE", str(place / "cache"))
        patch.chdir(place)
        yield place


def steerdsl(command: str, name: str, out: str, *more: str) -> None:
    """Run the command line on a recipe, in this process."""
    text = Path(f"{name}.steer").read_text("utf-8")
    sizes = [f"--set={param}={value}" for param, value in SIZES.items() if f"param {param} =" in text]
    options = ["--model", "model", "--dtype", "float32", "--batch-size", "32", *sizes, "--out", out, *more]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["steerdsl", command, f"{name}.steer", *options])
        with pytest.raises(SystemExit) as left:
            cli.main()
    assert (left.value.code or 0) == 0


def main_of(program: Path, out: str) -> None:
    """Run a program in this process."""
    spec = importlib.util.spec_from_file_location(program.stem, program)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(sys, "argv", [program.name, "--out", out])
        patch.setitem(sys.modules, program.stem, module)
        spec.loader.exec_module(module)
        module.main()


def answers(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's answers, without those of its controls."""
    file = folder / "generations.jsonl"
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
    return [line for line in lines if line["variant"] not in CONTROLS]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_ejected(folder: Path, name: str) -> None:
    steerdsl("eject", name, f"{name}_only.py")
    text = Path(f"{name}_only.py").read_text("utf-8")
    compile(text, name, "exec")
    modules = [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert not any(module and module.startswith("steerdsl") for module in modules)
    pytest.importorskip("ruff")
    check = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length=120", "--select=E4,E7,E9,F,I,B,UP"]
    form = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=120", "--diff"]
    for command in (check, form):
        done = subprocess.run([*command, f"{name}_only.py"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_program_of_every_recipe_gives_the_runs_own_answers(folder: Path, name: str) -> None:
    steerdsl("eject", name, f"{name}.py")
    steerdsl("run", name, f"{name}.run", "--quiet")
    main_of(folder / f"{name}.py", f"{name}.ejected")
    ours, theirs = answers(folder / f"{name}.ejected"), answers(folder / f"{name}.run")
    assert ours == theirs
    for path in sorted((folder / f"{name}.run" / "vectors").glob("*.safetensors")):
        with safe_open(path, "pt") as run, safe_open(folder / f"{name}.ejected" / "vectors" / path.name, "pt") as own:
            if "basis" in run.keys():  # noqa: SIM118  (a plane, which a program keeps to itself)
                continue
            for key in run.keys():  # noqa: SIM118
                torch.testing.assert_close(own.get_tensor(key), run.get_tensor(key), rtol=0, atol=0)
