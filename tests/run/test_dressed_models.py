"""A recipe whose model has an adapter, or weights that are quantised on loading, through every command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny import tiny, tiny_folder

RECIPE = """\
model "base" with OPTIONS

topic = extract diffmean from econ vs generic at last_token
steer s { ablate topic at layers 1..2 }
out = generate from econ.held_out with steer: s, max_tokens: 3
export topic to "topic.safetensors"
"""
RUNS = ("plain", "adapted", "quantised", "both")
ADAPTER, QUANTISED = 'adapter: "adapter"', "quantization: int8"
HERE = ("--device", "cpu", "--dtype", "float32")


def adapter(place: Path, seed: int = 3) -> None:
    settings = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"])
    made = get_peft_model(tiny(), settings)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    made.save_pretrained(place)
    file = place / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": "acme/base"}))


@pytest.fixture
def call(steerdsl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    tiny_folder(Path("base"))
    adapter(Path("adapter"))
    Path("plain.steer").write_text(RECIPE.replace(" with OPTIONS", ""))
    Path("adapted.steer").write_text(RECIPE.replace("OPTIONS", ADAPTER))
    Path("quantised.steer").write_text(RECIPE.replace("OPTIONS", QUANTISED))
    Path("both.steer").write_text(RECIPE.replace("OPTIONS", f"{ADAPTER}, {QUANTISED}"))
    return lambda command, *words: steerdsl(command, *words, *HERE)


def record(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, "record.json").read_text())
    return found


def vector(run: str) -> bytes:
    return Path(run, "topic.safetensors").read_bytes()


def test_each_is_another_model_with_keys_of_its_own(call: Any) -> None:
    keys = set()
    for name in RUNS:
        code, _, err = call("run", f"{name}.steer", "--out", name)
        assert (code, [line for line in err.splitlines() if "Failed to load" in line or "W1" in line[:2]]) == (0, [])
        keys.add(record(name)["plan"]["steps"][0]["key"])
    assert len(keys) == 4 and len({vector(name) for name in RUNS}) == 4
    model = record("both")["model"]
    assert model["adapter"] == "adapter" and model["adapter_sha256"] and model["adapter_revision"] is None
    assert model["quantization"] == "int8 on loading (torchao: 8 bits, a scale a row)"
    assert model["weights_sha256"] == record("plain")["model"]["weights_sha256"]
    further = {name: record(name)["packages"].keys() - record("plain")["packages"].keys() for name in RUNS}
    assert further == {"plain": set(), "adapted": {"peft"}, "quantised": {"torchao"}, "both": {"peft", "torchao"}}
    assert record("plain")["model"]["adapter"] is record("plain")["model"]["quantization"] is None


def test_the_plan_says_both(call: Any) -> None:
    code, out, _ = call("plan", "both.steer")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "quantised int8 on loading (torchao: 8 bits, a scale a row)" in lines
    assert any(
        line.startswith("adapter adapter, sha256 ") and line.endswith("…, trained on acme/base") for line in lines
    )
    _, plain, _ = call("plan", "plain.steer")
    assert "adapter" not in plain and "quantised" not in plain


def test_another_adapter_in_its_place_is_seen(call: Any) -> None:
    assert call("run", "adapted.steer", "--out", "a")[0] == 0
    assert "in the store already" in call("run", "adapted.steer", "--out", "b")[2] + call("plan", "adapted.steer")[1]
    adapter(Path("adapter"), seed=4)
    assert call("run", "adapted.steer", "--out", "c")[0] == 0
    assert vector("a") == vector("b") != vector("c")
    assert record("a")["model"]["adapter_sha256"] != record("c")["model"]["adapter_sha256"]


def test_the_lock_pins_both(call: Any) -> None:
    assert call("lock", "both.steer")[0] == 0
    pins = json.loads(Path("both.steer.lock").read_text())["pins"]
    assert pins["model.adapter"] == "adapter" and "model.adapter_revision" not in pins
    assert pins["model.quantization"].startswith("int8 ")
    adapter(Path("adapter"), seed=4)
    code, _, err = call("run", "both.steer", "--locked", "--out", "r")
    assert code == 4 and "model.adapter_sha256" in err and not Path("r").exists()
    assert call("lock", "plain.steer")[0] == 0
    assert not {
        name
        for name in json.loads(Path("plain.steer.lock").read_text())["pins"]
        if "adapter" in name or "quant" in name
    }


def test_verify_runs_both_again(call: Any, steerdsl: Any) -> None:
    assert call("run", "both.steer", "--out", "run")[0] == 0
    assert steerdsl("verify", "run")[0] == 0
    adapter(Path("adapter"), seed=4)
    code, out, err = steerdsl("verify", "run")
    assert code not in (0, 3) and "adapter" in out + err


@pytest.mark.parametrize(
    ("name", "what"),
    [("adapted", "an adapter on the model"), ("quantised", "weights that are quantised on loading")],
)
def test_eject_refuses(call: Any, steerdsl: Any, name: str, what: str) -> None:
    text = Path(f"{name}.steer").read_text()
    Path(f"{name}.steer").write_text(text.replace('export topic to "topic.safetensors"\n', ""))
    code, out, err = steerdsl("eject", f"{name}.steer", "--out", "program.py")
    assert (code, out) == (1, "") and f"error[P721]: `eject` cannot write {what}\n" in err
    assert f" {name}.steer:1:1\n" in err and not Path("program.py").exists()


@pytest.mark.parametrize("path", ["folder/", "s.peft"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("adapted", "the adapter `adapter` is on the weights"),
        ("quantised", "the weights are quantised (int8 on loading"),
    ],
)
def test_exports_of_weights_refuse(call: Any, name: str, reason: str, path: str) -> None:
    text = Path(f"{name}.steer").read_text().replace("at layers 1..2", "everywhere")
    Path(f"{name}.steer").write_text(text + f'export s to "{path}"\n')
    for command in ("plan", "run"):
        code, _, err = call(command, f"{name}.steer", *(("--out", "r") if command == "run" else ()))
        assert code == 1 and f"cannot carry this: {reason}" in err and not Path("r").exists()


def test_a_server_is_not_asked(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from steerdsl.engine import connect

    monkeypatch.setenv("NDIF_API_KEY", "x" * 20)
    monkeypatch.setattr(connect, "require_safe", lambda *a: pytest.fail("asked"))
    Path("hub").mkdir()
    code, _, err = call("run", "adapted.steer", "--on", "ndif", "--out", "r")
    assert code != 0 and ("M666" in err or "R829" in err)


@pytest.mark.parametrize(
    ("option", "code", "said"),
    [
        ('adapter: "nowhere/"', 1, "is not on this machine"),
        ('adapter: "./nowhere"', 1, "error[M601]: `./nowhere` is not an adapter folder: there is no such folder"),
        ('adapter: "./base"', 1, "error[M601]: `./base` is not an adapter folder: it holds no adapter_config.json"),
        ('adapter: "../outside"', 1, "error[M615]: the adapter folder `../outside` is outside the recipe's folder"),
    ],
)
def test_an_adapter_that_is_not_there(call: Any, option: str, code: int, said: str) -> None:
    adapter(Path("../outside"))
    Path("odd.steer").write_text(RECIPE.replace("OPTIONS", option))
    for command in (("plan",), ("run", "--out", "r")):
        found, _, err = call(command[0], "odd.steer", *command[1:], "--offline")
        assert found == (3 if "nowhere/" in option else code) and said in err and "Traceback" not in err
        assert not Path("r").exists()


def test_an_adapter_of_another_model(call: Any) -> None:
    tiny_folder(Path("wide"), hidden_size=64)
    code, _, err = call("run", "adapted.steer", "--model", "wide", "--out", "r", "-q")
    assert code == 3 and err.count("error[") == 1
    assert "error[M663]: the adapter `adapter` does not fit `wide`\n --> adapted.steer:3:9\n" in err
    assert "note: the reason given: size mismatch for base_model.model." in err
    assert record("r")["state"] == "failed"
