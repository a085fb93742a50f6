"""The loops that users of steering-vectors and repeng write, batch 1, as their documentation shows.

Runs in an environment of its own that has these packages, and takes its work from the standard input: one JSON
object a line. Answers a line of JSON with the seconds that it took. Nothing of steerdsl is imported.

    python -m venv others && others/bin/pip install steering-vectors repeng 'numpy<2' torch
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any


def main() -> None:
    """Open the model, say so, and do what each line asks."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    first = json.loads(sys.stdin.readline())
    torch.set_num_threads(first["threads"])
    model = AutoModelForCausalLM.from_pretrained(first["model"], dtype=getattr(torch, first["dtype"])).eval()
    model = model.to(first["device"])
    try:
        tokenizer = AutoTokenizer.from_pretrained(first["model"])
    except ValueError:  # written by a later transformers
        tokenizer = PreTrainedTokenizerFast.from_pretrained(first["model"])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    versions = _versions()
    print(json.dumps({"ready": versions}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        loop: Callable[..., None] = {"steering-vectors": steering_vectors, "repeng": repeng}[asked["package"]]
        with torch.no_grad():
            start, began = time.perf_counter(), time.process_time()
            loop(model, tokenizer, asked["classes"], asked["jobs"])
            took = [time.perf_counter() - start, time.process_time() - began]
        print(json.dumps({"took": took}), flush=True)


def steering_vectors(
    model: Any, tokenizer: Any, classes: Sequence[Sequence[str]], jobs: Sequence[dict[str, Any]]
) -> None:
    """Train a vector from pairs of prompts, then answer each prompt inside `apply`."""
    from steering_vectors import train_steering_vector

    vector = train_steering_vector(model, tokenizer, list(zip(*classes, strict=False)), show_progress=False)
    for job in jobs:
        for prompt in job["prompts"]:
            if job["steered"]:
                with vector.apply(model, multiplier=1.0):
                    _answer(model, tokenizer, prompt, job)
            else:
                _answer(model, tokenizer, prompt, job)


def repeng(model: Any, tokenizer: Any, classes: Sequence[Sequence[str]], jobs: Sequence[dict[str, Any]]) -> None:
    """Train a control vector on pairs, then answer each prompt with it set."""
    from repeng import ControlModel, ControlVector, DatasetEntry

    layers = list(range(-5, -18, -1)) if model.config.num_hidden_layers > 18 else [-1]
    controlled = ControlModel(model, layers)
    pairs = [DatasetEntry(positive=a, negative=b) for a, b in zip(*classes, strict=False)]
    vector = ControlVector.train(controlled, tokenizer, pairs, method="pca_diff", batch_size=1)
    for job in jobs:
        if job["steered"]:
            controlled.set_control(vector, 1.0)
        else:
            controlled.reset()
        for prompt in job["prompts"]:
            _answer(controlled, tokenizer, prompt, job)
    controlled.unwrap()


def _answer(model: Any, tokenizer: Any, prompt: str, job: dict[str, Any]) -> None:
    both = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).to(model.device)
    given = {name: both[name] for name in ("input_ids", "attention_mask")}
    warm = {"do_sample": True, "temperature": job["temperature"]} if job["temperature"] else {"do_sample": False}
    for _ in range(job["n"]):
        model.generate(**given, max_new_tokens=job["max_tokens"], pad_token_id=tokenizer.pad_token_id, **warm)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("steering-vectors", "repeng", "torch", "transformers")}


if __name__ == "__main__":
    main()
