"""One engine behind every door: run, Python, chat, serve and view give the same tokens for the same settings."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from calling import calls
from default import default_model
from openai import OpenAI

import steerdsl

ROOT = Path(__file__).parents[2]
RECIPE = """
param strength = 2
dataset a = econ with take: 8, held_out: 50%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
best = select layers of topic by dispersion
steer pushed { add topic by strength at layer 1 }
steer erased { ablate topic[best] everywhere }
steer turned { rotate plane(topic[1], pc1) by 90deg when cos(topic) > -1 at layer 1 }
"""
STEERS = ("pushed", "erased", "turned")


def run_door(model: str, tokens: int) -> tuple[list[str], dict[str, list[str]]]:
    """The prompts and each steer's answers, by `run`."""
    asked = [f"generate from a.held_out with steer: {name}, max_tokens: {tokens}" for name in STEERS]
    found = steerdsl.run("\n".join([RECIPE, *asked]), model=model, dtype="float32", device="cpu", out="mine")
    by = {name: [line for line in found.answers if line["variant"] == name] for name in STEERS}
    prompts = [line["prompt"] for line in by["pushed"]]
    return prompts, {name: [line["text"] for line in lines] for name, lines in by.items()}


def python_door(model: str, prompts: list[str], steer: str, tokens: int) -> list[str]:
    """A program's own transformers model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    own, tokenizer = (
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        AutoTokenizer.from_pretrained(model),
    )
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")]
    texts = []
    with steerdsl.steered(own, "mine", steer=steer), torch.no_grad():
        for prompt in prompts:
            talk = [{"role": "user", "content": prompt}]
            given = tokenizer.apply_chat_template(
                talk, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
            out = own.generate(**given, max_new_tokens=tokens, do_sample=False, eos_token_id=ends)
            texts.append(tokenizer.decode(out[0, given["input_ids"].shape[1] :], skip_special_tokens=True))
    return texts


def chat_door(
    prompts: list[str], steer: str, tokens: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> list[str]:
    """A conversation of each prompt alone, saved."""
    lines = []
    for number, prompt in enumerate(prompts):
        lines += [" ".join(prompt.split()), f"/save {steer}-{number}.json", "/new"]
        assert prompt == " ".join(prompt.split()), "one line"
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    code, out, err = calls(monkeypatch, capfd)("chat", "mine", "--steer", steer, "--max-tokens", str(tokens))
    assert code == 0 and "baseline: " in out, err
    talks = [json.loads(Path(f"{steer}-{number}.json").read_text("utf-8")) for number in range(len(prompts))]
    return [talk["turns"][0]["answers"]["steered"] for talk in talks]


def hearing() -> None:
    """Hear Ctrl-C, which a process that was started in the background ignores."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Door:
    """A command that serves, as a process. `url` is what it prints first."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "steerdsl.cli.main", *words, "--port", "0"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hearing
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.errors: list[str] = []
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr or ()), daemon=True).start()
        first = self.process.stdout.readline()
        found = re.match(r"http://127\.0\.0\.1:\d+/(v1)?$", first.strip())
        assert found, (first, self.errors)
        self.url = found[0]

    def close(self) -> None:
        """It ends cleanly, by a signal, and says nothing."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 130, self.errors
        assert not any("Traceback" in line for line in self.errors)


class ViewDoor(Door):
    """`steerdsl view`: its dial, with nothing turned."""

    def __init__(self) -> None:
        super().__init__("view", "mine")
        self.dial = f"{self.url}api/dial/mine"
        assert httpx.post(f"{self.dial}/open", json={}).status_code == 200
        while (told := httpx.get(self.dial, timeout=60).json())["state"] == "opening":
            time.sleep(0.1)
        assert told["state"] == "open", told

    def answers(self, prompts: list[str], steer: str, tokens: int) -> list[str]:
        found = []
        for prompt in prompts:
            body = {"prompt": prompt, "steer": steer, "max_tokens": tokens}
            *_, last = httpx.post(f"{self.dial}/answer", json=body, timeout=600).text.splitlines()
            found.append("".join(text for text, _ in json.loads(last)["done"]["steered"]["parts"]))
        return found


class ServeDoor(Door):
    """`steerdsl serve`."""

    def __init__(self) -> None:
        super().__init__("serve", "mine")
        self.client = OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=600)
        self.base = next(iter(self.client.models.list())).id

    def answers(self, prompts: list[str], steer: str, tokens: int) -> list[str]:
        found: dict[int, Any] = {}

        def ask(number: int) -> None:
            talk = [{"role": "user", "content": prompts[number]}]
            answer = self.client.chat.completions.create(
                model=f"{self.base}:{steer}",
                messages=talk,
                max_tokens=tokens,  # type: ignore[arg-type]
            )
            found[number] = answer.choices[0].message.content

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(prompts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [found[number] for number in range(len(prompts))]


def compare(model: str, tokens: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    prompts, wanted = run_door(model, tokens)
    served = ServeDoor()
    try:
        for steer in STEERS:
            assert python_door(model, prompts, steer, tokens) == wanted[steer]
            assert served.answers(prompts, steer, tokens) == wanted[steer]
            assert chat_door(prompts, steer, tokens, monkeypatch, capfd) == wanted[steer]
    finally:
        served.close()
    viewed = ViewDoor()
    try:
        for steer in STEERS:
            assert viewed.answers(prompts, steer, tokens) == wanted[steer]
    finally:
        viewed.close()
    assert len({tuple(texts) for texts in wanted.values()}) == len(STEERS), "steers that are alike show nothing"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_door_gives_the_same_tokens(
    tiny_model: Path, work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(work / "cache"))
    compare(str(tiny_model), 8, monkeypatch, capfd)


@pytest.mark.slow
def test_every_door_gives_the_same_tokens_on_the_default_model(
    work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    compare(str(default_model().path), 16, monkeypatch, capfd)
