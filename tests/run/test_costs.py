"""What a plan says that its steps will take, against counts made by hand and the speeds of a run before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from calling import Call
from tiny import CHAT_TEMPLATE, tiny, tiny_tokenizer

from steerdsl.models import memory
from steerdsl.store import speeds as store_speeds

RECIPE = """
dataset d = "d.txt" with held_out: 0%
dataset e = "e.txt" with held_out: 0%
topic = extract diffmean from d vs e at last_token
steer more {
    add topic[1] by 1 everywhere
}
one = generate from d with steer: more, max_tokens: 3, n: 2, temperature: 1
again = generate from d with steer: more, max_tokens: 3, n: 2, temperature: 1
s = evaluate more on d with delta_nll, bleu, max_tokens: 5, draws: 2, references: 3, controls: random
sweep k over 1, 2, 3 {
    add topic[1] by k everywhere
    out = generate from e with steer: main, max_tokens: 7
}
"""
D, E = ("How does inflation work?", "Hi there, you two."), ("Bread", "Explain photography to me.", "Why 7?")


@pytest.fixture
def recipe() -> str:
    Path("d.txt").write_text("".join(f"{line}\n" for line in D))
    Path("e.txt").write_text("".join(f"{line}\n" for line in E))
    Path("a.steer").write_text(RECIPE)
    return "a.steer"


def tokens(prompts: tuple[str, ...]) -> list[int]:
    """How many tokens each prompt has in the chat template."""
    tokenizer = tiny_tokenizer(CHAT_TEMPLATE)
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": p}], add_generation_prompt=True, tokenize=False)
        for p in prompts
    ]
    return [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


def costs(on_tiny: Call, recipe: str, *words: str) -> dict[str, Any]:
    code, out, err = on_tiny("plan", recipe, "--json", *words)
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)["costs"]
    return found | {"by": {step["number"]: step for step in found["steps"]}}


def test_tokens_are_those_of_the_prompts_and_the_longest_answers(on_tiny: Call, recipe: str) -> None:
    by = costs(on_tiny, recipe)["by"]
    assert by[1]["read"] == sum(tokens(D)) + sum(tokens(E)) and by[1]["made"] == 0
    assert (by[3]["answers"], by[3]["made"], by[3]["read"]) == (2 * 2, 2 * 2 * 3, 0)
    assert (by[4]["answers"], by[4]["made"]) == (0, 0)  # the step before makes these answers
    # baseline, steer, two draws, three references; and under all but the references the unsteered answers are read
    assert (by[5]["answers"], by[5]["made"]) == ((4 + 3) * 2, (4 + 3) * 2 * 5)
    assert by[5]["read"] == 4 * sum(length + 5 for length in tokens(D))
    assert (by[6]["answers"], by[6]["made"]) == (3 * 3, 3 * 3 * 7)
    assert all(step["exact"] and not step["partly"] for step in by.values())


def test_no_time_is_invented_and_a_run_measures_it(on_tiny: Call, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_speeds, "ENOUGH", 0.0)
    before = costs(on_tiny, recipe)
    assert before["tokens_per_second"] == {} and all(
        step["seconds"] is None for step in before["by"].values() if step["made"]
    )
    code, out, _ = on_tiny("plan", recipe)
    assert code == 0 and "unknown until this machine has run this model" in out
    assert on_tiny("run", recipe, "-q", "--out", "r")[0] in (0, 4, 5)
    Path(recipe).write_text(RECIPE.replace("max_tokens: 7", "max_tokens: 8").replace("last_token", "mean_content"))
    after = costs(on_tiny, recipe)
    rates = after["tokens_per_second"]
    assert set(rates) == {"read", "made"} and all(rate > 0 for rate in rates.values())
    step = after["by"][6]
    assert step["seconds"] == round(9 * 8 / rates["made"], 1)
    assert after["by"][1]["seconds"] == round(after["by"][1]["read"] / rates["read"], 1)


def test_a_kept_speed_is_the_newest_of_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "speeds" / "one.json"
    measured = store_speeds.Measured()
    measured.add("made", 10, 1.0)
    measured.add("made", 30, 1.0)
    measured.add("read", 5, store_speeds.ENOUGH / 2)  # too short to say anything
    store_speeds.keep_speeds(file, measured)
    assert store_speeds.known_speeds(file) == {"made": 20.0}
    later = store_speeds.Measured()
    later.add("read", 100, 1.0)
    store_speeds.keep_speeds(file, later)
    store_speeds.keep_speeds(file, store_speeds.Measured())
    assert store_speeds.known_speeds(file) == {"made": 20.0, "read": 100.0}
    for damaged in ("", "[]", '{"made": 0}', '{"made": "fast"}'):
        file.write_text(damaged)
        assert store_speeds.known_speeds(file) == {}
    assert store_speeds.known_speeds(tmp_path / "none.json") == {}


def test_what_may_not_fit_is_said(on_tiny: Call, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(p.numel() for p in tiny().parameters()) * 4
    monkeypatch.setattr(memory, "free_memory", lambda device: 10**12)
    found = costs(on_tiny, recipe)
    # The embedding and the output share their tensor, which a file has once.
    assert found["weights"] == size and found["free"] == 10**12
    assert all(step["fits"] for step in found["by"].values())
    assert "may not fit" not in on_tiny("plan", recipe)[1]
    largest = max(step["memory"] for step in found["by"].values())
    monkeypatch.setattr(memory, "free_memory", lambda device: size + largest - 1)
    tight = costs(on_tiny, recipe)
    assert [step["fits"] for step in tight["by"].values()].count(False) >= 1
    assert "this may not fit" in on_tiny("plan", recipe)[1]
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    assert all(step["fits"] is None for step in costs(on_tiny, recipe)["by"].values())


@pytest.mark.parametrize(
    ("meminfo", "limit", "taken", "free"),
    [
        ("MemTotal: 9 kB\nMemAvailable:   100 kB\n", None, None, 102400),
        ("MemAvailable:   100 kB\n", "max\n", "5\n", 102400),
        ("MemAvailable:   100 kB\n", "1000\n", "400\n", 600),
        ("MemAvailable:   100 kB\n", "1000\n", "4000\n", 0),
        (None, None, None, None),
        ("nothing\n", None, None, None),
    ],
)
def test_free_memory_is_what_the_system_and_the_container_leave(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    meminfo: str | None,
    limit: str | None,
    taken: str | None,
    free: int,
) -> None:
    for name, text in (("MEMINFO", meminfo), ("LIMIT", limit), ("TAKEN", taken)):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        monkeypatch.setattr(memory, name, path)
    assert memory.free_memory(torch.device("cpu")) == free
