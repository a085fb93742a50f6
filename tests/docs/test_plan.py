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


def test_a_plan_is_shown() -> None:
    assert SHOWN


@pytest.mark.parametrize(("command", "plan"), SHOWN)
def test_plan_is_what_the_command_prints(command: Block, plan: Block, tmp_path: Path) -> None:
    ((_, *words),) = commands(command)
    here = {"STEERDSL_CACHE": str(tmp_path / "own"), "HF_HOME": str(tmp_path / "hub"), "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-m", "steerdsl.cli.main", *words, "--offline"]
    here |= {"COLUMNS": "96", "OMP_NUM_THREADS": "2"}  # the threads of a machine with two cores
    done = subprocess.run(program, capture_output=True, text=True, env={**os.environ, **here})
    assert done.returncode == 0, done.stderr
    printed = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
    if os.environ.get("UPDATE_EXPECTED"):
        page = plan.page.read_text(encoding="utf-8")
        plan.page.write_text(page.replace(f"```text plan\n{plan.text}", f"```text plan\n{printed}"), encoding="utf-8")
    else:
        assert printed == plan.text
