"""Checkpoints that cannot be what they say, through `plan` and `run`: one message, and nothing half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import CHAT_TEMPLATE, tiny

RECIPE = "topic = extract diffmean from econ vs generic at mean_content\nsteer s { ablate topic at layers 1 }\n"
RECIPE += "out = generate from econ.held_out with steer: s, max_tokens: 3\n"
HERE = ("--device", "cpu", "--dtype", "float32")


def change(name: str, **settings: Any) -> None:
    file = Path("model", name)
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def without_tokenizer() -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        Path("model", name).unlink()


def nan_in(name: str) -> None:
    file = Path("model/model.safetensors")
    held = load_file(file)
    held[name] = torch.full_like(held[name], torch.nan)
    save_file(held, file, metadata={"format": "pt"})


def remote_code() -> None:
    change(
        "config.json", model_type="own", auto_map={"AutoModelForCausalLM": "own.Own"}, architectures=["OwnForCausalLM"]
    )
    Path("model/own.py").write_text("raise SystemExit('code of a model ran')")


# What is done to the folder; the code; the exit code of `plan` (None: it reads no weights) and of `run`.
BAD: dict[str, tuple[Callable[[], object], str, int | None, int]] = {
    "code of its own": (remote_code, "M605", 1, 1),
    "no tokenizer": (without_tokenizer, "M606", 1, 1),
    "a template that raises": (
        lambda: Path("model/chat_template.jinja").write_text("{{ raise_exception('no') }}"),
        "M610",
        1,
        1,
    ),
    "a template that divides by zero": (
        lambda: Path("model/chat_template.jinja").write_text("{{ 1 / 0 }}"),
        "M610",
        1,
        1,
    ),
    "fewer layers than there are": (lambda: change("config.json", num_hidden_layers=2), "M617", None, 3),
    "more layers than there are": (lambda: change("config.json", num_hidden_layers=4), "M606", None, 3),
    "no layers": (lambda: change("config.json", num_hidden_layers=0), "M606", 1, 1),
    "another width": (lambda: change("config.json", hidden_size=64), "M606", None, 3),
    "a quantisation that is none": (
        lambda: change("config.json", quantization_config={"quant_method": "odd"}),
        "M619",
        None,
        3,
    ),
    "nan in a matrix": (lambda: nan_in("model.layers.1.mlp.up_proj.weight"), "R811", None, 3),
    "nan in the embeddings": (lambda: nan_in("model.embed_tokens.weight"), "R811", None, 3),
    "weights cut short": (
        lambda: Path("model/model.safetensors").write_bytes(Path("model/model.safetensors").read_bytes()[:-50]),
        "M606",
        None,
        3,
    ),
    "no weights": (lambda: Path("model/model.safetensors").unlink(), "M606", None, 1),
}


@pytest.fixture
def model(steerdsl: Any, tiny_model: Path) -> Path:
    shutil.copytree(tiny_model, "model")
    Path("r.steer").write_text('model "model"\n' + RECIPE)
    return Path("model")


@pytest.mark.parametrize("name", BAD)
def test_one_message_and_nothing_half_written(steerdsl: Any, model: Path, name: str) -> None:
    spoil, code, planned, ran = BAD[name]
    spoil()
    found, _, err = steerdsl("plan", "r.steer", *HERE)
    assert found == (planned or 0) and err.count("error[") == (planned is not None) and "Traceback" not in err
    found, _, err = steerdsl("run", "r.steer", *HERE, "--out", "out", "-q")
    assert (found, err.count("error[")) == (ran, 1), err
    assert f"error[{code}]: " in err and "\nhelp: " in err and "Traceback" not in err
    if ran == 1:
        assert not Path("out").exists()
    else:
        record = json.loads(Path("out/record.json").read_text())
        assert record["state"] == "failed" and not list(Path("out/vectors").glob("*"))
    assert sorted(p.name for p in Path().iterdir() if p.name.startswith(".")) == []


# ---- a folder that changes between plan and run -------------------------------------------------


def other_weights() -> None:
    tiny(seed=1).save_pretrained("fresh")
    shutil.copy("fresh/model.safetensors", "model/model.safetensors")


CHANGES: dict[str, tuple[Callable[[], object], str]] = {
    "weights": (other_weights, "its weights"),
    "config": (lambda: change("config.json", rms_norm_eps=1e-2), "config.json"),
    "template": (
        lambda: Path("model/chat_template.jinja").write_text(CHAT_TEMPLATE.replace("helpful", "kind")),
        "its chat template",
    ),
    "stops": (lambda: change("generation_config.json", eos_token_id=[2, 9]), "the tokens that end an answer"),
}


BEFORE, WHILE = "before it is opened", "while it is opened"  # the template and the stops are read once, before


@pytest.mark.parametrize(
    ("name", "when"), [*((name, BEFORE) for name in CHANGES), ("weights", WHILE), ("config", WHILE)]
)
def test_a_folder_that_changes_after_the_plan(
    steerdsl: Any, model: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    from steerdsl.models import opened

    change_it, what = CHANGES[name]
    whole = opened.facts_of if when == BEFORE else opened.load

    def first(*given: Any) -> Any:
        change_it()
        return whole(*given)

    monkeypatch.setattr(opened, "facts_of" if when == BEFORE else "load", first)
    code, _, err = steerdsl("run", "r.steer", *HERE, "--out", "out", "-q")
    assert code == 3 and err.count("error[") == 1
    assert f"error[M667]: the folder of `model` has changed since this was planned: {what}\n" in err
    assert json.loads(Path("out/record.json").read_text())["state"] == "failed"
    monkeypatch.undo()


def test_a_folder_that_stays_as_it_is(steerdsl: Any, model: Path) -> None:
    assert steerdsl("run", "r.steer", *HERE, "--out", "out", "-q")[0] == 0
