"""`steerdsl parity`, and what `--on ndif` refuses before it asks a server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from steerdsl.engine.parity import Footprint, Trail, compare
from steerdsl.methods.types import Directions, Vector

RECIPE = """
dataset a = econ with take: 6
dataset b = generic with take: 6
topic = extract diffmean from a vs b at last_token
best = select layers of topic by dispersion keep top 1
steer s { ablate topic[best] everywhere }
scores = evaluate s on a.held_out with bleu, perplexity, max_tokens: 4
"""


def test_parity_with_a_rehearsal(on_tiny: Any) -> None:
    code, out, err = on_tiny("parity", "-e", RECIPE, "--on", "simulate", "--quiet")
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["step", "vectors", "logits", "tokens"]
    assert lines[1] == ["1", "extract", "topic", "0", "-", "-"]
    assert lines[4][:5] == ["4", "evaluate", "scores", "-", "0"]
    assert out.splitlines()[4].endswith("answers differ") and " 0 of " in out.splitlines()[4]
    assert err.endswith("local and simulate are equal (float32); receipt in recipe.parity.json\n")
    receipt = json.loads(Path("recipe.parity.json").read_text())
    assert receipt["equal"] and receipt["places"] == ["local", "simulate"] and receipt["limit"] == 1e-6
    assert receipt["steps"][3]["tokens"]["answers"] > 0
    assert not list(Path("..").glob("cache/store/*"))  # nothing came from the store or went to it


def footprint(number: float, tokens: list[int], logits: float) -> Footprint:
    unit = torch.nn.functional.normalize(torch.tensor([[[1.0, number, 0.0]]]), dim=-1)
    vector = Vector("v", Directions(unit, torch.tensor([[2.0]])), torch.tensor([0]), "resid_post")
    step: Any = type("Step", (), {"number": 1, "verb": "extract", "name": "v"})
    return Footprint(step, {"v": vector}, [{"token_ids": tokens}], [torch.tensor([logits])], 1.0, {})


def trails(number: float = 0.0, tokens: tuple[int, ...] = (1, 2), logits: float = 0.5) -> tuple[Trail, Trail]:
    return (
        Trail("local", "float32", [footprint(0.0, [1, 2], 0.5)]),
        Trail("ndif", "float32", [footprint(number, list(tokens), logits)]),
    )


def test_what_is_compared() -> None:
    same, near, far = (compare(*trails(number)) for number in (0.0, 5e-7, 1e-3))
    assert same["equal"] and near["equal"] and not far["equal"]
    assert same["steps"][0]["vectors"] == 0 and near["steps"][0]["vectors"] == pytest.approx(5e-7, rel=1e-3)
    assert far["steps"][0]["vectors"] == pytest.approx(1e-3, rel=1e-3)
    other = compare(*trails(tokens=(1, 3)))
    assert not other["equal"] and other["steps"][0]["tokens"] == {"answers": 1, "different": 1}
    assert compare(*trails(logits=0.75))["steps"][0]["logits"] == 0.25


def test_half_precision_is_held_to_its_tokens_alone() -> None:
    here, there = (replace(trail, dtype="bfloat16") for trail in trails(1e-3))
    assert compare(here, there)["equal"]
    here, there = (replace(trail, dtype="bfloat16") for trail in trails(tokens=(1,)))
    assert not compare(here, there)["equal"]


def test_exit_code_4(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steerdsl.engine.parity.apart", lambda x, y: 2e-6)
    text = "topic = extract diffmean from econ vs generic at last_token"
    code, out, err = on_tiny("parity", "-e", text, "--on", "simulate", "--quiet", "--out", "p.json")
    assert code == 4 and "2.0e-06" in out
    assert err.endswith("local and simulate are not equal (float32); receipt in p.json\n")


def test_a_folder_cannot_be_asked_for(on_tiny: Any, tiny_model: Path) -> None:
    code, _, err = on_tiny("run", "-e", RECIPE, "--on", "ndif", "--host", "https://127.0.0.1:9", "--quiet")
    assert code == 2
    assert f"error[R829]: `{tiny_model}` is a folder on this machine, and a server knows models by their" in err
    assert "help: give a hub id with --model, or run it here" in err


def test_an_unsafe_address_is_refused_before_anything(on_tiny: Any) -> None:
    code, _, err = on_tiny("run", "-e", RECIPE, "--on", "ndif", "--host", "http://192.168.0.9")
    assert code == 2 and err.startswith("error[R827]: http://192.168.0.9 is not encrypted")
    assert not Path("runs").exists()


@pytest.mark.parametrize("words", [("run",), ("run", "--on", "simulate"), ("parity", "--on", "simulate")])
@pytest.mark.parametrize("option", [("--host", "https://127.0.0.1:9"), ("--insecure",)])
def test_options_of_a_server_want_one(steerdsl: Any, words: tuple[str, ...], option: tuple[str, ...]) -> None:
    code, _, err = steerdsl(*words, "-e", RECIPE, *option)
    assert code == 2 and f"{option[0]} goes with --on ndif" in err
    assert not Path("runs").exists()


def test_a_server_in_the_environment_leaves_a_run_here(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDIF_HOST", "https://127.0.0.1:9")
    code, _, err = on_tiny("run", "-e", "topic = extract diffmean from econ vs generic at last_token", "--quiet")
    assert code == 0, err
