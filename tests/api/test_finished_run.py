"""What a program and a notebook read of a run: vectors by layer, frames, pictures, a page that nothing can steer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import steerdsl
from steerdsl.api import FinishedRun

ROOT = Path(__file__).parents[2]
RECIPE = """
dataset a = econ with take: 8, held_out: 50%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
best = select layers of topic by dispersion
steer more { add topic[best] by 1 at layer 1 }
scores = evaluate more on a.held_out with keyword_rate("econ"), max_tokens: 4, controls: none
plot norms(topic)
"""


@pytest.fixture
def found(tiny_model: Path, work: Path) -> FinishedRun:
    return steerdsl.run(RECIPE, model=str(tiny_model), dtype="float32", device="cpu", out="mine")


def test_a_vector_by_layer_is_its_raw_direction(found: FinishedRun) -> None:
    stored = load_file(found.folder / "vectors/topic.safetensors")
    topic = found.vectors["topic"]
    for row, layer in enumerate(stored["layers"].tolist()):
        wanted = stored["directions"][row] * stored["raw_norms"][row]
        np.testing.assert_allclose(topic[layer].numpy(), wanted, rtol=1e-6)
    with pytest.raises(KeyError, match="no direction at layer 99; it has layer 0, 1, 2"):
        topic[99]


def test_frames_have_what_the_files_have(found: FinishedRun) -> None:
    scores, answers = found.scores_frame(), found.answers_frame()
    lines = [json.loads(line) for line in (found.folder / "generations.jsonl").read_text("utf-8").splitlines()]
    assert answers.to_dict("records") == lines
    text = (found.folder / "scores.csv").read_text("utf-8").splitlines()
    assert set(scores.columns) == set(text[0].split(",")) and len(scores) == len(text) - 1
    assert scores[scores.variant == "more"].value.iloc[0] == found.scores.select(variant="more")[0].mean


def test_without_pandas_frames_are_lists_of_dicts(found: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = found.scores_frame().to_dict("records")
    monkeypatch.setitem(sys.modules, "pandas", None)
    scores = found.scores_frame()
    assert [line["value"] for line in scores] == [line["value"] for line in frames]
    assert found.answers_frame() == [dict(answer) for answer in found.answers]


def test_choices_plots_and_the_report_are_named(found: FinishedRun) -> None:
    assert found.choices == found.record["choices"] and len(found.choices["best"]["chosen"]) == 1
    assert {path.suffix for path in found.plots} == {".png", ".svg"} and all(path.is_file() for path in found.plots)
    assert found.report.read_text("utf-8").startswith("<!doctype html>")


def test_a_notebook_shows_scores_and_pictures(found: FinishedRun) -> None:
    html = found._repr_html_()
    assert "keyword_rate" in html and "<img " in html and "<script" not in html
    assert "\n" not in repr(found)


def test_what_a_stranger_wrote_into_a_record_is_shown_and_never_run(found: FinishedRun) -> None:
    record = json.loads((found.folder / "record.json").read_text())
    record["choices"] = {"<script>alert(1)</script>": record["choices"]["best"]}
    (found.folder / "record.json").write_text(json.dumps(record))
    html = steerdsl.load("mine")._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html


def test_reading_a_run_loads_no_torch(found: FinishedRun) -> None:
    use = "run = steerdsl.load('mine'); repr(run), run.answers, run.scores, run.checks, run.choices, run.plots"
    more = "run.steers, run.record, run.report, run.scores_frame(), run.answers_frame(), run._repr_html_()"
    script = f"import sys, steerdsl\n{use}\n{more}\nprint([m for m in ('torch', 'nnsight') if m in sys.modules])"
    env: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("left", [None, b"0123456789"])
def test_vectors_that_are_missing_or_damaged(found: FinishedRun, left: bytes | None) -> None:
    file = found.folder / "vectors/topic.safetensors"
    file.unlink()
    if left is not None:
        file.write_bytes(left)
    with pytest.raises(steerdsl.RecipeError, match="damaged"):
        _ = steerdsl.load(found.folder).vectors


@pytest.mark.parametrize("name", ["generations.jsonl", "scores.json", "vectors/topic.safetensors"])
@pytest.mark.parametrize("change", ["cut", "changed"])
def test_a_file_that_is_not_the_recorded_one_is_said(found: FinishedRun, name: str, change: str) -> None:
    """Each change leaves a file that reads well: whole lines, another figure, another number."""
    file = found.folder / name
    whole = file.read_bytes()
    if name == "generations.jsonl":
        lines = whole.splitlines(keepends=True)
        file.write_bytes(b"".join(lines[:-1]) if change == "cut" else lines[0] + b"".join(reversed(lines[1:])))
    elif name == "scores.json":
        file.write_bytes(b"{}" if change == "cut" else whole + b"\n")
    else:
        file.write_bytes(whole[:-4] + (b"" if change == "cut" else b"\0\0\0\0"))
    with pytest.raises(steerdsl.RecipeError) as caught:
        _ = steerdsl.load(found.folder).vectors
    (told,) = caught.value.diagnostics
    assert told.code == "R881" and f"{name} is not the file that the record names" in told.notes[0]
