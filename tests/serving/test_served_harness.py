"""lm-evaluation-harness measures a steered model that is served, by its own client of OpenAI's interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_server import BASE, Running

from steerdsl.serving.steers import Steers

TASK = """\
task: said
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["never said"], max_gen_toks: 6}
metric_list: [{metric: exact_match}]
"""
ASKED = ("Why is bread dear?", "Hi", "How are prices made?", "Explain photography, please.")


@pytest.mark.slow
def test_the_harness_measures_a_steered_model(steers: Steers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right answers of the task are those of a run with the steer: all are found there, and not without it."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    server = Running(steers)
    try:
        rows = [{"question": text, "answer": server.wanted(text, "pushed", 6)[0]} for text in ASKED]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "said.yaml").write_text(TASK.replace("ROWS", str(tmp_path / "rows.jsonl")))

        def score(model: str) -> dict[str, Any]:
            url = f"{server.url}/v1/chat/completions"
            found = simple_evaluate(
                model="local-chat-completions",
                model_args={"base_url": url, "model": model, "num_concurrent": 4, "max_retries": 1},
                tasks=["said"],
                task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
                apply_chat_template=True,
                bootstrap_iters=0,
                log_samples=True,
            )
            said = {one["doc"]["question"]: one["resps"][0][0] for one in found["samples"]["said"]}
            assert said == {text: server.wanted(text, model.partition(":")[2] or None, 6)[0] for text in ASKED}
            return dict(found["results"]["said"])

        assert score(f"{BASE}:pushed")["exact_match,none"] == 1
        assert score(BASE)["exact_match,none"] < 1
    finally:
        server.close()
