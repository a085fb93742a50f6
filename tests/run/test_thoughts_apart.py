"""Metrics and judges read the answer of a thinking model, or its thoughts, and the record keeps both."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from endpoint import Endpoint, said
from tiny import CHAT_TEMPLATE, tiny_folder

from steerdsl.engine import evaluation

RECIPE = """
dataset a = econ with take: 12, seed: 1
dataset b = generic with take: 12, seed: 1
topic = extract diffmean from a vs b at mean_content
steer less { ablate topic }
scores = evaluate less on a with METRICS, max_tokens: 12, controls: none
"""
OPENING = CHAT_TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")


def table(metric: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("r/scores.json").read_text())["scores"][metric]["a"]
    return found


def run(steerdsl: Any, model: Path, metrics: str, *words: str) -> str:
    text = RECIPE.replace("METRICS", metrics)
    where = ("--model", str(model), "--dtype", "float32", "--device", "cpu", "--out", "r")
    code, out, err = steerdsl("run", "-e", text, *where, *words)
    assert code == 0, err
    return str(out)


@pytest.fixture
def thinker(tmp_path: Path) -> Path:
    """A tiny model whose template opens the thoughts, which it never ends."""
    assert OPENING != CHAT_TEMPLATE
    return tiny_folder(tmp_path / "thinker", template=OPENING)


def test_an_answer_that_never_ends_its_thoughts_has_no_figure(steerdsl: Any, thinker: Path) -> None:
    run(steerdsl, thinker, "refusal_rate, distinct_1, bleu, eos_share, delta_nll")
    for metric in ("refusal_rate", "distinct_1", "bleu"):
        found = table(metric)["less"]
        assert found["mean"] is None and found["n"] == 0 and set(found["values"]) == {None}
    assert table("distinct_1")["less"]["reason"] == "the answer ends within its thoughts"
    assert table("eos_share")["less"]["mean"] is not None and table("delta_nll")["less"]["mean"] is not None


def test_thoughts_can_be_read_alone(steerdsl: Any, thinker: Path) -> None:
    found = {}
    for part in ("thoughts", "both"):
        run(steerdsl, thinker, f'distinct_1, keyword_rate(["a*"]), part: {part}')
        found[part] = [table(metric)["less"]["values"] for metric in ("distinct_1", "keyword_rate")]
        Path("r").rename(part)
    assert found["thoughts"] == found["both"] and any(found["both"][0])


def test_the_plan_says_what_is_read(steerdsl: Any, thinker: Path, tiny_model: Path) -> None:
    text = RECIPE.replace("METRICS", "distinct_1")
    told, plain = (" ".join(steerdsl("plan", "-e", text, "--model", str(m))[1].split()) for m in (thinker, tiny_model))
    assert "read the answer without its thoughts" in told and "without its thoughts" not in plain


@pytest.fixture
def thoughtful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers as a thinking model gives them: what the tiny model says becomes its thoughts."""
    make: Callable[..., Any] = evaluation.answers

    def answers(run: Any, request: Any) -> list[Any]:
        made = make(run, request)
        return [replace(a, text=f"<think>Secret {a.text}</think>\n\nSay {a.prompt}.") for a in made]

    monkeypatch.setattr(evaluation, "answers", answers)


def test_metrics_and_judges_read_what_is_said(steerdsl: Any, tiny_model: Path, thoughtful: None) -> None:
    server = Endpoint(lambda body: said("5"))
    Path("r.md").write_text("{question} {answer} {baseline}")
    words = ("--judge-url", server.url, "--judge-model", "m")
    metrics = 'bleu, keyword_rate(["secret"]), judge("r.md", scale: 1..5), judge_clarity'
    run(steerdsl, tiny_model, metrics, *words)
    server.server.shutdown()
    server.server.server_close()
    assert set(table("bleu")["less"]["values"]) == {100.0} and set(table("keyword_rate")["less"]["values"]) == {0.0}
    shown = json.dumps([body["messages"][:2] for body in server.asked])
    assert "Say 0." in shown and "Secret" not in shown and "think" not in shown
    Path("r").rename("answer")
    run(steerdsl, tiny_model, 'keyword_rate(["secret"]), part: thoughts')
    assert all(value > 0 for value in table("keyword_rate")["less"]["values"])
