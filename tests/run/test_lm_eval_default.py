"""`lm_eval` on the default model: the harness's own run of the same rows, document by document."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from default import default_model
from transformers import AutoModelForCausalLM


@pytest.mark.slow
def test_the_default_model_by_both_ways(steerdsl: Any) -> None:
    """Twenty real MMLU rows on SmolLM2 in float32: the harness's own run, document by document."""
    pytest.importorskip("lm_eval")
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from steerdsl.models.tokenizer import read_tokenizer

    located = default_model()
    recipes = Path(__file__).parents[2] / "recipes"
    shutil.copytree(recipes / "tasks", "tasks")
    shutil.copytree(recipes / "data", "data")
    Path("r.steer").write_text(
        "topic = extract random with seed: 1\nsteer less { add topic by 150% at layers 10..29 }\n"
        'scores = evaluate less with lm_eval("tasks/mmlu_macroeconomics.yaml", limit: 20), controls: none'
    )
    code, _, err = steerdsl("run", "r.steer", "--dtype", "float32", "--device", "cpu", "--out", "r")
    assert code == 0, err
    import yaml

    model = AutoModelForCausalLM.from_pretrained(located.path, dtype="float32").eval()
    lm = HFLM(pretrained=model, tokenizer=read_tokenizer(located), batch_size=4, device="cpu")
    task = yaml.safe_load(Path("tasks/mmlu_macroeconomics.yaml").read_text())
    manager = TaskManager(include_defaults=False)
    found = simple_evaluate(lm, tasks=[task], task_manager=manager, limit=20, bootstrap_iters=0)
    figures = json.loads(Path("r/scores.json").read_text())["scores"]["lm_eval"]["mmlu_macroeconomics"]
    assert figures["baseline"]["values"] == [s["acc"] for s in found["samples"]["mmlu_macroeconomics"]]
    assert figures["baseline"]["mean"] == pytest.approx(found["results"]["mmlu_macroeconomics"]["acc,none"])
    assert figures["less"]["values"] != figures["baseline"]["values"]
