"""The plans that the pages print are what `steerdsl plan` prints before anything was fetched.

UPDATE_EXPECTED=1 writes them anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import PAGES, ROOT, Block, blocks
from test_docs import commands

SHOWN = [
    pytest.param(before, after, id=after.id)
    for page in PAGES
    for before, after in zip(blocks(page), blocks(page)[1:], strict=False)
    if after.info == "text plan"
]


EXCERPTS = [
    pytest.param(before, after, id=after.id)
    for page in PAGES
    for before, after in zip(blocks(page), blocks(page)[1:], strict=False)
    if after.info == "text excerpt"
]


def test_a_plan_is_shown() -> None:
    assert SHOWN and EXCERPTS


@pytest.mark.parametrize(("recipe", "excerpt"), EXCERPTS)
def test_an_excerpt_is_in_the_plan_of_the_recipe_above_it(recipe: Block, excerpt: Block, tmp_path: Path) -> None:
    (tmp_path / "recipe.steer").write_text(recipe.text)
    done = planned(["plan", "recipe.steer"], tmp_path)
    words = " ".join(done.stdout.split())
    assert [line for line in excerpt.text.splitlines() if line not in words] == []


def planned(words: list[str], own: Path) -> subprocess.CompletedProcess[str]:
    """What a command prints before anything was fetched, in `own` where there is a recipe, else in the repository."""
    here = {"STEERDSL_CACHE": str(own / "own"), "HF_HOME": str(own / "hub"), "PYTHONPATH": str(ROOT)}
    here |= {"COLUMNS": "96", "OMP_NUM_THREADS": "2"}  # the threads of a machine with two cores
    program = [sys.executable, "-m", "steerdsl.cli.main", *words, "--offline"]
    place = own if (own / "recipe.steer").exists() else ROOT
    done = subprocess.run(program, capture_output=True, text=True, env={**os.environ, **here}, cwd=place)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(("command", "plan"), SHOWN)
def test_plan_is_what_the_command_prints(command: Block, plan: Block, tmp_path: Path) -> None:
    ((_, *words),) = commands(command)
    done = planned(words, tmp_path)
    printed = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
    if os.environ.get("UPDATE_EXPECTED"):
        page = plan.page.read_text(encoding="utf-8")
        plan.page.write_text(page.replace(f"```text plan\n{plan.text}", f"```text plan\n{printed}"), encoding="utf-8")
    else:
        assert printed == plan.text
