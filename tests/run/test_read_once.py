"""Prompts are read once for whatever a recipe reads of them, and the numbers are those of reading them each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from calling import Call
from safetensors.torch import load_file
from tiny import tiny_config

from steerdsl.engine import capture as capturing

DATA = """
dataset a = econ with take: 9, seed: 1
dataset b = generic with take: 9, seed: 1
"""
ALONE = DATA + "topic = extract diffmean from a vs b at mean_content\n"
# What reads each sample, after a method that needs none.
READERS = {
    "plot": "plot pca(topic)\n",
    "criterion": "best = select layers of topic by auroc\n",
    "method": "other = extract pca from a vs b at mean_content\n",
    "plane": "turn = plane(topic[1], pc1, candidates: samples)\nsteer s {\n    rotate turn by 90deg\n}\n"
    "out = generate from a with steer: s, max_tokens: 2\n",
    "addition": "steer s {\n    add topic by 1 at layer 1\n    add topic by 1 at layer 2 on attn_out\n}\n"
    "out = generate from a with steer: s, max_tokens: 2\n",
    "plane in a steer": "steer s {\n    rotate plane(topic[1], pc1, candidates: samples) by 90deg\n}\n"
    "out = generate from a with steer: s, max_tokens: 2\n",
    "in a sweep": "sweep k over 1, 2 {\n    best = select layers of topic by auroc\n"
    "    add topic[best] by k everywhere\n    out = generate from a with steer: main, max_tokens: 2\n}\n",
}


@pytest.fixture
def read(on_tiny: Call, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`read(RECIPE, OUT)` runs it on a store of its own and gives the number of prompts of each reading."""
    found: list[int] = []
    plain = capturing.capture_several

    def capture(session: Any, prompts: Any, *more: Any, **options: Any) -> Any:
        found.append(len(prompts))
        return plain(session, prompts, *more, **options)

    monkeypatch.setattr(capturing, "capture_several", capture)

    def run(recipe: str, out: str) -> list[int]:
        monkeypatch.setenv("STEERDSL_CACHE", str(Path.cwd().parent / f"cache of {out}"))
        found.clear()
        code, _, err = on_tiny("run", "-e", recipe, "--out", out, "-q")
        assert code == 0, err
        return list(found)

    return run


@pytest.mark.parametrize("reader", READERS)
def test_a_class_is_read_once(read: Any, reader: str) -> None:
    alone = read(ALONE, "alone")
    both = read(ALONE + READERS[reader], "both")
    assert len(alone) == 2 and both == alone
    first, second = (load_file(f"{run}/vectors/topic.safetensors") for run in ("alone", "both"))
    assert all(bool((first[name] == second[name]).all()) for name in first)


OTHERS = [
    "at last_token",
    "at mean_content on attn_out",
    "at all on mlp_norm_out",
    "at suffix 2 on head(1, 2)",
    "on resid_mid",
]


@pytest.mark.parametrize("other", OTHERS)
def test_another_position_or_stream_is_read_in_the_same_pass(read: Any, other: str) -> None:
    second = f"other = extract pca from a vs b {other}\n"
    alone = read(DATA + second, "alone")
    both = read(ALONE + second, "both")
    assert len(alone) == 2 and both == alone
    assert vectors("alone", "other") == vectors("both", "other")
    assert read(ALONE, "first") and vectors("first", "topic") == vectors("both", "topic")


def test_all_positions_and_streams_of_a_plan_are_one_pass(read: Any) -> None:
    more = "".join(f"v{i} = extract diffmean from a vs b {other}\n" for i, other in enumerate(OTHERS))
    later = "turned = extract diffmean from b vs a at last_token\nbest = select layers of v0 by auroc\n"
    assert len(read(ALONE + more + later, "all")) == 2
    for i, other in enumerate(OTHERS):
        assert len(read(DATA + f"v{i} = extract diffmean from a vs b {other}\n", f"alone {i}")) == 2
        assert vectors("all", f"v{i}") == vectors(f"alone {i}", f"v{i}")


def test_passes_of_the_model(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each prompt goes through the model once for all, and through its output layer not at all."""
    seen: list[int] = []
    plain, words = torch.nn.Module.__call__, tiny_config("llama").vocab_size

    def call(self: torch.nn.Module, *given: Any, **named: Any) -> Any:
        assert getattr(self, "out_features", 0) != words
        if type(self).__name__ == "LlamaForCausalLM":
            seen.append(len(named["input_ids"]))
        return plain(self, *given, **named)

    monkeypatch.setattr(torch.nn.Module, "__call__", call)
    prompts = read(ALONE, "alone")
    assert sum(seen) == sum(prompts)
    seen.clear()
    assert read(ALONE + "".join(f"v{i} = extract diffmean from a vs b {o}\n" for i, o in enumerate(OTHERS)), "all")
    assert sum(seen) == sum(prompts)


def test_a_reading_that_fails_fails_in_its_own_step(on_tiny: Call) -> None:
    code, _, err = on_tiny("run", "-e", ALONE + "far = extract diffmean from a vs b at suffix 900\n", "--out", "far")
    assert code == 1 and "M614" in err and "extract diffmean from a vs b at suffix 900" in err
    assert Path("far/vectors/topic.safetensors").exists()


def vectors(run: str, name: str) -> dict[str, list[Any]]:
    return {part: tensor.tolist() for part, tensor in load_file(f"{run}/vectors/{name}.safetensors").items()}
