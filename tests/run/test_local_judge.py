"""A judge that the run opens itself marks as the same model does behind our own server."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import EOS, VOCAB, tiny_folder, tiny_tokenizer
from transformers import AutoModelForCausalLM

from steerdsl.lang.source import Source
from steerdsl.pipeline import recipe_to_plan, text_to_recipe
from steerdsl.planning.plan import RunOptions
from steerdsl.serving.app import Server
from steerdsl.serving.batcher import Batcher
from steerdsl.serving.listen import http_server
from steerdsl.serving.served import RequestLimits, Served
from steerdsl.serving.steers import ready

BIG = 50.0
LIMITS = RequestLimits()
RUBRIC = "Grade: {answer}"
RECIPE = """
dataset a = econ with take: 12, seed: 1
dataset b = generic with take: 12, seed: 1
topic = extract diffmean from a vs b at mean_content
steer less { ablate topic }
scores = evaluate less on a with METRICS, max_tokens: 5, controls: none
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose every reply is one digit, which depends on what it reads, and then its end."""
    folder = tiny_folder(tmp_path_factory.mktemp("judges") / "digits", "llama_untied", max_position_embeddings=4096)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), tiny_tokenizer()
    ids = [tokenizer.convert_tokens_to_ids(str(n)) for n in range(10)]
    assert None not in ids and len(set(ids)) == 10
    with torch.no_grad():
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        embedding[:, 0], embedding[:, 1] = BIG, 0.0
        embedding[ids, 1] = BIG
        noise = torch.randn(VOCAB, head.shape[1], generator=torch.Generator().manual_seed(3))
        head.zero_()
        head[ids] = 3 * noise[ids]
        head[ids, 0], head[ids, 1], head[EOS, 1] = 4.0, 0.0, 20.0
        model.model.norm.weight.fill_(1.0)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def served(digits: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of our own server with this model, and the model's name there."""
    checked, found = text_to_recipe(Source("s.steer", RECIPE.partition("scores")[0]), tmp_path)
    assert checked is not None, found
    plan = recipe_to_plan(checked, RunOptions(model=str(digits), dtype="float32", device="cpu"), fetch=True)
    steers = ready(plan)
    batcher = Batcher(steers.session(), lambda width: 64, 32, LIMITS.waiting)
    own = Served(steers, LIMITS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = http_server(Server(own, batcher).app(), LIMITS.waiting)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [free]}, daemon=True)
        thread.start()
        name = next(name for name, steer in own.models().items() if steer is None)
        yield f"http://127.0.0.1:{free.getsockname()[1]}", name
        server.should_exit = True
        thread.join()
    batcher.close()


def run(on_tiny: Any, metrics: str, out: str, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    code, _, err = on_tiny("run", "-e", RECIPE.replace("METRICS", metrics), "--out", out, *words)
    assert code == 0, err
    read = [json.loads((Path(out) / name).read_text()) for name in ("scores.json", "record.json")]
    return read[0]["scores"], read[1]


def test_a_local_judge_marks_as_the_same_judge_behind_an_endpoint(
    on_tiny: Any, served: tuple[str, str], digits: Path
) -> None:
    url, name = served
    Path("r.md").write_text(RUBRIC)
    asked = f'judge("r.md", scale: 0..9), judge("r.md", scale: 0..9, judge: "{digits}")'
    scores, record = run(on_tiny, asked, "r", "--judge-url", url, "--judge-model", name, "--allow", str(digits.parent))
    for variant in ("baseline", "less"):
        there, here = (scores[label]["a"][variant]["values"] for label in ("judge_r", "judge_r_by_digits"))
        assert here == pytest.approx(there, abs=1e-5) and all(0 <= mark <= 9 for mark in here)
    marks = {round(mark, 6) for v in ("baseline", "less") for mark in scores["judge_r"]["a"][v]["values"]}
    assert len(marks) > 1  # or nothing would be compared
    (one, two), (agreed,) = record["judge"]["rubrics"], record["judge"]["agreement"]
    assert (one["local"], two["local"]) == (False, True)
    assert one["expected"] == two["expected"] > 0 and one["unread"] == two["unread"] == 0
    assert agreed["judges"] == [name, str(digits)] and agreed["weighted_kappa"] in (None, 1.0)
    # The number as it is written, without expectations.
    written = asked.replace("scale: 0..9", "scale: 0..9, mark: number")
    scores, _ = run(on_tiny, written, "s", "--judge-url", url, "--judge-model", name, "--allow", str(digits.parent))
    there, here = (scores[label]["a"]["less"]["values"] for label in ("judge_r", "judge_r_by_digits"))
    assert here == there and all(mark == int(mark) for mark in here)


@pytest.mark.parametrize("size", ["1", "3"])
def test_batches_change_no_mark_and_weights_change_the_key(on_tiny: Any, digits: Path, size: str) -> None:
    Path("r.md").write_text(RUBRIC)
    asked = f'judge("r.md", scale: 0..9, judge: "{digits}")'
    words = ("--allow", str(digits.parent))
    one, _ = run(on_tiny, asked, "r", *words)
    two, record = run(on_tiny, asked + ", distinct_1", "s", "--batch-size", size, *words)
    found = [of["judge_r_by_digits"]["a"]["less"]["values"] for of in (one, two)]
    assert found[0] == pytest.approx(found[1]) and record["judge"]["rubrics"][0]["from_store"] > 0


def test_a_judge_without_a_chat_template_is_refused(on_tiny: Any, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "base", template=None)
    text = RECIPE.replace("METRICS", f'judge("coherence", judge: "{folder}")')
    code, _, err = on_tiny("run", "-e", text, "--allow", str(tmp_path))
    assert code == 1 and "error[R940]" in err and "has no chat template" in err


def test_a_judge_outside_of_the_recipes_folder_needs_allow(on_tiny: Any, digits: Path) -> None:
    text = RECIPE.replace("METRICS", f'judge("coherence", judge: "{digits}")')
    code, _, err = on_tiny("run", "-e", text)
    assert code == 1 and "error[M615]" in err


def test_a_rubric_too_long_for_the_judge_has_no_mark(on_tiny: Any, tiny_model: Path) -> None:
    """The tiny model's context has 256 tokens, the ready rubric more: there is no room for a reply."""
    scores, record = run(on_tiny, f'judge("coherence", judge: "{tiny_model}")', "r", "--allow", str(tiny_model.parent))
    (found,) = (by for label, by in scores.items() if label.startswith("judge_coherence_by"))
    assert found["a"]["less"]["mean"] is None and math.isclose(record["judge"]["rubrics"][0]["expected"], 0)
