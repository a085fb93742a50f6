"""Runs, locks and records know a model by what was loaded: OPT's form, whose tokenizer is not one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from calling import Call
from tiny import tiny, tiny_folder
from transformers import AutoTokenizer

RECIPE = """
dataset d = "d.txt" with held_out: 0%
out = generate from d with max_tokens: 5
"""
OPTIONS = ("--model", "model", "--dtype", "float32", "--device", "cpu")
PROMPTS = ("How does inflation work?", "Hi there.", "Why 7?", "Bread", "Explain it.")
TOKENS = 5


@pytest.fixture
def model(steerdsl: Call) -> Path:
    """A folder of OPT's form in the working folder, beside the recipe and its data."""
    folder = tiny_folder(Path("model"), "opt", template=None)
    said = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(said["vocab"]))
    merges = "".join(" ".join(pair) + "\n" for pair in said["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}")
    write(folder, add_bos_token=True)
    Path("one.steer").write_text(RECIPE)
    Path("d.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    return folder


def write(folder: Path, **settings: object) -> None:
    own = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**own, "unk_token": "</s>", **settings}))


def argmax(folder: Path, first: tuple[int, ...]) -> list[list[int]]:
    """The likeliest tokens after each prompt by plain passes, with `first` before it."""
    tokenizer, opt = AutoTokenizer.from_pretrained(folder), tiny("opt")
    found = []
    for prompt in PROMPTS:
        ids = [*first, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        start = len(ids)
        while len(ids) < start + TOKENS:
            with torch.no_grad():
                token = int(opt(torch.tensor([ids])).logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            ids.append(token)
        found.append(ids[start:])
    return found


def answers(run: str) -> list[list[int]]:
    lines = [json.loads(line) for line in Path(run, "generations.jsonl").read_text().splitlines()]
    return [line["token_ids"] for line in sorted(lines, key=lambda line: line["row"])]


def test_another_tokenizer_gives_its_own_answers_and_breaks_the_lock(steerdsl: Call, model: Path) -> None:
    assert steerdsl("lock", "one.steer", *OPTIONS)[0] == 0
    assert steerdsl("run", "one.steer", *OPTIONS, "--locked", "--out", "with", "-q")[0] == 0
    assert answers("with") == argmax(model, (1,))
    write(model, add_bos_token=False)
    code, _, err = steerdsl("run", "one.steer", *OPTIONS, "--locked", "--out", "refused", "-q")
    assert code == 4 and "model.tokenizer_sha256" in err and "R862" in err and not Path("refused").exists()
    assert steerdsl("run", "one.steer", *OPTIONS, "--out", "without", "-q")[0] == 0
    assert answers("without") == argmax(model, ()) != answers("with")
    records = [json.loads(Path(run, "record.json").read_text()) for run in ("with", "without")]
    assert records[0]["model"]["tokenizer_sha256"] != records[1]["model"]["tokenizer_sha256"]
    assert records[0]["template"]["mode"] == "none"
    assert any("has no chat template" in warning for warning in records[0]["warnings"])


@pytest.mark.parametrize("file", ["merges.txt", "vocab.json"])
def test_each_file_of_a_tokenizer_is_pinned(steerdsl: Call, model: Path, file: str) -> None:
    assert steerdsl("lock", "one.steer", *OPTIONS)[0] == 0
    text = (model / file).read_text()
    if file == "merges.txt":
        (model / file).write_text("\n".join(text.splitlines()[:-9]))
    else:
        vocab = json.loads(text)
        vocab["a"], vocab["e"] = vocab["e"], vocab["a"]
        (model / file).write_text(json.dumps(vocab))
    code, _, err = steerdsl("run", "one.steer", *OPTIONS, "--locked", "-q")
    assert code == 4 and "model.tokenizer_sha256" in err


def test_settings_of_generation_change_neither_answers_nor_the_lock(steerdsl: Call, model: Path) -> None:
    """As the hub's copy of a chat model has them, and a copy without the file has not."""
    assert steerdsl("lock", "one.steer", *OPTIONS)[0] == 0
    said = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**said, "repetition_penalty": 1.3, "top_k": 2}))
    assert steerdsl("run", "one.steer", *OPTIONS, "--locked", "--out", "one", "-q")[0] == 0
    (model / "generation_config.json").unlink()
    assert steerdsl("run", "one.steer", *OPTIONS, "--locked", "--out", "two", "-q")[0] == 0
    assert answers("one") == answers("two") == argmax(model, (1,))


def test_a_stop_that_the_files_name_is_pinned(steerdsl: Call, model: Path) -> None:
    assert steerdsl("lock", "one.steer", *OPTIONS)[0] == 0
    said = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**said, "eos_token_id": [2, 9]}))
    code, _, err = steerdsl("run", "one.steer", *OPTIONS, "--locked", "-q")
    rows = [line.split() for line in err.splitlines()]
    assert code == 4 and ["model.stop_ids", "2", "2,", "9"] in rows
