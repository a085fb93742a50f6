"""The functions for Python programs give what the command line gives, and `docs/python.md` runs as it is printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import steerdsl

ROOT = Path(__file__).parents[2]
RECIPE = """
param strength = 1
dataset a = econ with take: 8, held_out: 50%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
steer more {
    add topic by strength at layer 1
    ablate topic at layer 2
}
scores = evaluate more on a.held_out with keyword_rate("econ"), max_tokens: 4
"""
HOW = {"dtype": "float32", "device": "cpu"}


def python_blocks() -> str:
    """The Python blocks of the page as one program."""
    parts = (ROOT / "docs" / "python.md").read_text("utf-8").split("```python\n")[1:]
    return "\n".join(part.partition("```")[0] for part in parts)


def test_the_page_runs_as_it_is_printed(tiny_model: Path, work: Path) -> None:
    """One program, in the order of the page; the model is named, since the default one is no tiny one."""
    text = python_blocks()
    named = text.replace('dtype="float32"', f'dtype="float32", model={str(tiny_model)!r}')
    assert named.count("model=") == 2
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", named], cwd=work, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "complete runs/more" in lines and "('add topic by strength at layer 1',)" in lines
    assert lines[-1].startswith("S206 there is no extraction method `difmean`")
    assert json.loads((work / "runs/more/record.json").read_text())["run"]["set"] == ["strength=2"]


@pytest.mark.parametrize("use", ["", "steerdsl.check(TEXT)", "steerdsl.__version__", "steerdsl.RecipeError"])
def test_nothing_heavy_is_imported(use: str) -> None:
    heavy = ("torch", "transformers", "nnsight", "numpy", "sklearn", "matplotlib")
    script = f"import sys, steerdsl\nTEXT = {RECIPE!r}\n{use}\nprint([m for m in {heavy} if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_is_exported_and_no_other() -> None:
    """A module of the package by the same name would take its place as soon as it is imported."""
    assert not {path.stem for path in (ROOT / "steerdsl").iterdir()} & set(dir(steerdsl))
    assert set(dir(steerdsl)) == {
        *("RecipeError", "RecipeWarning", "__version__", "check", "load", "plan", "run", "steered")
    }
    for name in ("check", "load", "plan", "run", "steered"):
        assert callable(getattr(steerdsl, name)) and getattr(steerdsl, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        steerdsl.runn  # noqa: B018


def test_a_run_and_what_it_gives(tiny_model: Path, work: Path) -> None:
    (work / "more.steer").write_text(RECIPE)
    found = steerdsl.run("more.steer", model=str(tiny_model), params={"strength": 3}, **HOW)
    record = json.loads((found.folder / "record.json").read_text())
    assert found.folder.parent == Path("runs") and found.folder.name.startswith("more-")
    assert found.state == "complete" and found.record == record and found.checks == []
    assert record["plan"]["params"] == {"strength": "3"} and record["recipe"]["name"] == "more.steer"
    assert found.steers == {"more": ("add topic by strength at layer 1", "ablate topic at layer 2")}
    lines = (found.folder / "generations.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == list(found.answers) and found.answers
    assert found.scores.to_json() == json.loads((found.folder / "scores.json").read_text())
    assert list(found.vectors) == ["topic"]
    stored = load_file(found.folder / "vectors/topic.safetensors")
    unit = found.vectors["topic"].directions.unit.numpy()
    np.testing.assert_array_equal(unit[:, 0], stored["directions"])
    np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1, atol=1e-6)
    again = steerdsl.load(found.folder)
    assert (again.record, again.scores, again.answers) == (found.record, found.scores, found.answers)
    assert repr(again) == f"<run {found.folder}: complete, {len(lines)} answers, 1 evaluations>"


def test_the_command_and_the_function_make_the_same_answers(tiny_model: Path, work: Path) -> None:
    """The stores are apart, so that both compute."""
    found = steerdsl.run(RECIPE, model=str(tiny_model), out="here", **HOW)
    words = ["run", "-e", RECIPE, "--model", str(tiny_model), "--dtype", "float32", "--device", "cpu", "--out", "there"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "STEERDSL_CACHE": str(work / "another")}
    command = [sys.executable, "-m", "steerdsl.cli.main", *words, "-q"]
    subprocess.run(command, cwd=work, env=env, check=True, capture_output=True)
    there = steerdsl.load("there")
    assert [a["token_ids"] for a in there.answers] == [a["token_ids"] for a in found.answers]
    assert there.scores == found.scores and there.record["plan"] == found.record["plan"]


def test_params_model_and_options_are_in_the_plan(tiny_model: Path, work: Path) -> None:
    plan = steerdsl.plan(RECIPE, model=str(tiny_model), params={"strength": 0.25}, batch_size=2, seed=5, **HOW)
    assert [step.verb for step in plan.steps] == ["extract", "steer", "evaluate"]
    assert plan.recipe.params == {"strength": "0.25"} and plan.batch_size == 2 and plan.dtype == "float32"
    assert plan.options.seed == 5 and plan.options.sets == ("strength=0.25",)


@pytest.mark.parametrize(
    "option",
    [{"batch_size": 0}, {"seed": -1}, {"seed": 2**53}, {"host": "http://127.0.0.1"}, {"insecure": True}],
    ids=str,
)
def test_an_option_out_of_its_bounds_is_refused(work: Path, option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ValueError, match=name):
        steerdsl.plan(RECIPE, **option)
    with pytest.raises(TypeError, match="no_such"):
        steerdsl.plan(RECIPE, no_such=1)


@pytest.mark.parametrize("call", [steerdsl.plan, steerdsl.run])
def test_mistakes_are_raised_with_their_places(work: Path, call: object) -> None:
    assert callable(call)
    with pytest.raises(steerdsl.RecipeError) as caught:
        call("a = extract difmean from econ vs generic\nablate a at layers 99x", dtype="float32")
    codes = [d.code for d in caught.value.diagnostics]
    assert "S206" in codes and len(codes) > 1 and all(d.labels for d in caught.value.diagnostics)
    assert not list(work.iterdir())


def test_what_the_model_refuses_is_raised(tiny_model: Path, work: Path) -> None:
    with pytest.raises(steerdsl.RecipeError, match="there is no layer 99"):
        steerdsl.run("extract diffmean from econ vs generic; ablate layers 99", model=str(tiny_model), **HOW)
    assert not (work / "runs").exists()


def test_a_run_that_fails_leaves_its_record(tiny_model: Path, work: Path) -> None:
    """The same prompts under two names have no direction between them."""
    same = "econ with take: 8, held_out: 50%"
    text = f"dataset a = {same}\ndataset b = {same}\nt = extract diffmean from a vs b\nablate t at layer 1"
    with pytest.raises(steerdsl.RecipeError) as caught:
        steerdsl.run(text, model=str(tiny_model), out="failed", **HOW)
    assert caught.value.exit_code == 3
    found = steerdsl.load("failed")
    assert found.state == "failed" and found.record["error"] == str(caught.value)


class Stopping:
    """Progress that stops the run at its second step, as Ctrl-C does."""

    def __init__(self, number: signal.Signals = signal.SIGINT) -> None:
        self.number = number
        self.steps: list[str] = []
        self.read: list[str] = []

    def __call__(self, text: str, done: int, total: int, unit: str = "") -> None:
        self.read.append(text)

    def title(self, text: str) -> None:
        if text:
            self.steps.append(text)
        if len(self.steps) == 2:
            signal.raise_signal(self.number)

    def finished(self, note: str = "") -> None: ...
    def say(self, text: str) -> None: ...


@pytest.fixture
def heard() -> Iterator[None]:
    """A process that was started in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_run_that_is_stopped_is_given_back_as_far_as_it_got(heard: None, tiny_model: Path, work: Path) -> None:
    """Its record is written, and the next Ctrl-C is heard."""
    before, progress = signal.getsignal(signal.SIGINT), Stopping()
    with pytest.warns(steerdsl.RecipeWarning, match="stopped at step 2, steer more"):
        found = steerdsl.run(RECIPE, model=str(tiny_model), out="stopped", progress=progress, **HOW)
    assert signal.getsignal(signal.SIGINT) is before
    assert progress.steps == ["[1/3] extract topic", "[2/3] steer more"] and "planning" in progress.read
    assert (found.state, found.record["reached"]) == ("interrupted", "step 2, steer more")
    assert list(found.vectors) == ["topic"]


def test_a_run_that_is_told_to_end_ends_the_program(heard: None, tiny_model: Path, work: Path) -> None:
    progress = Stopping(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGTERM"):
        steerdsl.run(RECIPE, model=str(tiny_model), out="stopped", progress=progress, **HOW)
    assert steerdsl.load("stopped").state == "interrupted"


def test_check_finds_mistakes_of_files_too(work: Path) -> None:
    (work / "x.steer").write_text('dataset a = "missing.jsonl"\nextract diffmean from a vs econ; ablate layers 1')
    (found,) = [d for d in steerdsl.check(Path("x.steer")) if d.severity == "error"]
    assert found.code.startswith("D5") and "missing.jsonl" in found.title
    assert steerdsl.check("x.steer") == steerdsl.check(work / "x.steer") or found.labels[0].source.name == "x.steer"
    with pytest.raises(FileNotFoundError):
        steerdsl.check("nowhere.steer")


def test_a_warning_goes_to_warnings(tiny_model: Path, work: Path) -> None:
    """S451: an `add` without layers acts at every layer."""
    text = "t = extract diffmean from econ vs generic\nadd t by 1"
    with pytest.warns(steerdsl.RecipeWarning, match="S451"):
        steerdsl.plan(text, model=str(tiny_model), **HOW)


def test_load_refuses_a_folder_that_is_not_a_run(work: Path) -> None:
    with pytest.raises(steerdsl.RecipeError) as caught:
        steerdsl.load(work)
    assert [d.code for d in caught.value.diagnostics] == ["R880"]
