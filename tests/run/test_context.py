"""One guard at the door of every pass: no figure is made of a text that is longer than the model's context."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_folder

from steerdsl.engine.capture import capture
from steerdsl.engine.context_length import require_fit
from steerdsl.engine.tracing import Session
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.recipe import Position, Stream
from steerdsl.models.catalog import locate
from steerdsl.models.opened import open_model
from steerdsl.models.prompts import Renderer

CONTEXT = 64
LONG = "bread " * 90
TEXT = """
dataset a = "a.jsonl" with field: "prompt", choices: "choices", answer: "answer", held_out: 0%
dataset b = "b.jsonl" with field: "prompt", held_out: 0%
v = extract random at mean_content
steer s { add v by 1 at layers 1 }
"""
# What reads each data set's long row; the prompts of `b` fit, and its answers and options do not.
METRICS = ("multiple_choice", "cross_entropy", "perplexity", "kl", "delta_nll")


@pytest.fixture(params=["llama", "gpt2", "opt", "gpt_neox"])
def short(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model with a context of 64 tokens."""
    name = "n_positions" if request.param == "gpt2" else "max_position_embeddings"
    return tiny_folder(tmp_path / "short", request.param, None, **{name: CONTEXT})


@pytest.mark.parametrize("metric", METRICS)
def test_a_text_beyond_the_context_has_no_figure(steerdsl: Any, short: Path, metric: str) -> None:
    rows = [("bread one", ["one", "two"]), (LONG, ["one", "two"]), ("bread two", [LONG, "two"])]
    lines = [json.dumps({"prompt": p, "choices": c, "answer": "A"}) + "\n" for p, c in rows]
    Path("a.jsonl").write_text("".join(lines[::2] if metric == "multiple_choice" else lines))
    text = TEXT.replace(TEXT.splitlines()[2] + "\n", "") + f"e = evaluate s on a with {metric}"
    words = ("--model", str(short), "--dtype", "float32", "--device", "cpu", "--out", "r", "--quiet")
    if metric in ("kl", "delta_nll"):  # the answers are generated first, and need room too
        text += ", max_tokens: 4"
    code, _, err = steerdsl("run", "-e", text, *words)
    assert code in (1, 3) and "error[M611]" in err and f"more than the {CONTEXT} of the model's context" in err, err
    assert "evaluate" in json.loads(Path("r/record.json").read_text())["reached"]
    assert json.loads(Path("r/scores.json").read_text()) == {}


def test_the_longest_text_that_fits_has_one(steerdsl: Any, short: Path) -> None:
    renderer = Renderer(open_model(locate(str(short)), dtype="float32", device="cpu").tokenizer)
    one = len(renderer.render("b").ids)
    fits = next("b" * n for n in range(CONTEXT, 0, -1) if len(renderer.render("b" * n).ids) <= CONTEXT)
    assert len(renderer.render(fits).ids) == CONTEXT > one
    Path("a.jsonl").write_text(json.dumps({"prompt": fits}) + "\n")
    text = 'dataset a = "a.jsonl" with held_out: 0%; v = extract random; steer s { add v by 1 at layers 1 }; '
    words = ("--model", str(short), "--dtype", "float32", "--device", "cpu", "--out", "r", "--quiet")
    code, _, err = steerdsl("run", "-e", text + "e = evaluate s on a with perplexity", *words)
    assert code == 0, err


def test_every_door_of_a_session(short: Path) -> None:
    opened = open_model(locate(str(short)), dtype="float32", device="cpu")
    session, prompt = Session(opened), Renderer(opened.tokenizer).render(LONG)
    ids = torch.tensor([prompt.ids])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    site = opened.arch.read("resid_post", 0)
    reads, picked = [site.tap], torch.ones_like(ids).bool()
    reading = {"inputs": given, "touches": (), "steps": 0, "keep": lambda logits: logits}
    doors = [
        lambda: capture(session, [prompt], Position("last_token"), Stream("resid_post"), [0]),
        lambda: session.capture(given, reads, None, True, picked),
        lambda: session.generate(given, (), 1, opened.model.generation_config),
        lambda: session.logits(given, (), 0, lambda logits: logits),
        lambda: session.readings([reading], lambda kept: kept),
    ]
    for door in doors:
        with pytest.raises(RecipeError, match="more than the 64 of the model's context"):
            door()
    require_fit([{"attention_mask": torch.ones(1, CONTEXT - 3)}], opened.arch, 3)
    with pytest.raises(RecipeError, match="62 tokens and 3 new ones"):
        require_fit([{"attention_mask": torch.ones(1, CONTEXT - 2)}], opened.arch, 3)
