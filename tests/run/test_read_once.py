"""Prompts are read once for whatever a recipe reads of them, and the numbers are those of reading them each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from calling import Call
from safetensors.torch import load_file

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
    "plane in a steer": "steer s {\n    rotate plane(topic[1], pc1, candidates: samples) by 90deg\n}\n"
    "out = generate from a with steer: s, max_tokens: 2\n",
    "in a sweep": "sweep k over 1, 2 {\n    best = select layers of topic by auroc\n"
    "    add topic[best] by k everywhere\n    out = generate from a with steer: main, max_tokens: 2\n}\n",
}


@pytest.fixture
def read(on_tiny: Call, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`read(RECIPE, OUT)` runs it on a store of its own and gives the number of prompts of each reading."""
    found: list[int] = []
    plain = capturing.capture

    def capture(session: Any, prompts: Any, *more: Any, **options: Any) -> Any:
        found.append(len(prompts))
        return plain(session, prompts, *more, **options)

    monkeypatch.setattr(capturing, "capture", capture)

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


@pytest.mark.parametrize("other", ["at last_token", "at mean_content on attn_out"])
def test_another_position_or_stream_is_read_by_itself(read: Any, other: str) -> None:
    recipe = ALONE + f"other = extract pca from a vs b {other}\n"
    assert len(read(recipe, "both")) == 4
