"""The notebooks of docs/notebooks run from top to bottom, in a kernel, and show what a person should see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from default import default_model
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
MODEL = '"HuggingFaceTB/SmolLM2-135M-Instruct"'


def executed(notebook: Any, folder: Path) -> list[Any]:
    """The code cells of a notebook after it ran in `folder`."""
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: Any) -> str:
    """What stands under a cell, as text, without colours."""
    parts = []
    for output in cell.outputs:
        data = output.get("data", {})
        parts.append(output.get("text") or data.get("text/plain") or "\n".join(output.get("traceback", ())))
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(parts))


def read(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / name, as_version=4)


def test_there_are_two_and_they_are_executed() -> None:
    assert NAMES == ["first-steps.ipynb", "own-model.ipynb"]
    for name in NAMES:
        nbformat.validate(read(name))
        assert all(cell.execution_count for cell in read(name).cells if cell.cell_type == "code"), name


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name: str, tiny_model: Path, work: Path) -> None:
    """With a tiny model, whose layers are fewer, in place of the default one."""
    notebook = read(name)
    for cell in notebook.cells:
        small = cell.source.replace(MODEL, repr(str(tiny_model)))
        cell.source = re.sub(r"(at layer |\[|LAYER = |depth = )16\b", r"\g<1>1", small)
    cells = executed(notebook, work)
    (line,) = [one for one in cells if "%%steer" in one.source and "force" in one.source] or [cells[2]]
    shown = [output for output in line.outputs if output.output_type == "display_data"]
    assert len(shown) == 1 and re.match(r"\d+ steps?.*, \d", shown[0]["data"]["text/plain"])
    assert not any("widget" in kind for output in line.outputs for kind in output.get("data", {}))
    (result,) = [output for output in line.outputs if output.output_type == "execute_result"]
    assert "<run runs/" in result["data"]["text/plain"] and "text/html" in result["data"]


def test_the_mistakes_of_a_cell_are_shown_with_their_places(work: Path) -> None:
    text = "%%steer\nx = extract diffmean from econ vs generic\nadd x by {nope} at layer 1"
    notebook = new_notebook(cells=[new_code_cell("%load_ext steerdsl"), new_code_cell(text)])
    with pytest.raises(CellExecutionError):
        executed(notebook, work)
    (error,) = notebook.cells[1].outputs
    said = printed(notebook.cells[1])
    assert error.output_type == "error" and "Traceback" not in said
    assert said.startswith("error[R920]: there is no variable `nope`\n --> In [2]:3:10\n")
    assert "3 | add x by {nope} at layer 1\n  |          ^^^^^^" in said


STOPPED = """
import os, signal
from steerdsl.running.notebook_line import NotebookLine

def title(self, text, before=NotebookLine.title):
    before(self, text)
    if text.startswith("[2/"):
        os.kill(os.getpid(), signal.SIGINT)

NotebookLine.title = title
"""


def test_stop_gives_back_the_run_as_far_as_it_got(tiny_model: Path, work: Path) -> None:
    """The kernel gets the signal that the notebook's button sends."""
    recipe = "t = extract diffmean from econ vs generic\nsteer s { add t by 1 at layer 1 }\ng = generate from econ"
    cells = ["%load_ext steerdsl" + STOPPED, f"%%steer --model {tiny_model} --dtype float32\n{recipe} with steer: s"]
    found = executed(new_notebook(cells=[*map(new_code_cell, cells), new_code_cell("_.state, list(_.vectors)")]), work)
    assert "the run was stopped at step 2" in printed(found[1])
    assert printed(found[2]) == "('interrupted', ['t'])"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_a_notebook_shows_is_what_it_gives(name: str, work: Path) -> None:
    """On the default model, in float32: the texts under its cells, but for times."""
    default_model()
    wanted = [printed(cell) for cell in read(name).cells if cell.cell_type == "code"]
    found = [printed(cell) for cell in executed(read(name), work)]
    times = re.compile(r"(?m)^\d+ steps?.*$|^\d[\d.]* .?s$|0x[0-9a-f]+|/\S+|\rLoading weights:.*$")
    assert [times.sub("", text) for text in found] == [times.sub("", text) for text in wanted]
