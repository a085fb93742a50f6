"""Log-probabilities of letters, against plain forward passes of a model that nnsight never saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from default import default_model
from hooks import Steered
from tiny import CHAT_TEMPLATE, tiny_tokenizer
from transformers import AutoModelForCausalLM
from world import World

from steerdsl.engine.continuations import continuation_logprobs, letter_logprobs
from steerdsl.engine.tracing import Session
from steerdsl.models.opened import open_model
from steerdsl.models.prompts import Renderer

QUESTIONS = (
    "Is bread dear?\nA. yes\nB. no\nAnswer:",
    "Which?\nA. one\nB. two\nC. three\nAnswer:",
    "A. a\nB. b\nAnswer:",
)
LETTERS = ("AB", "ABC", "AB")


def by_hand(model: Any, tokenizer: Any, text: str, letters: str, special: bool) -> list[float]:
    """log p of each letter as the next token, one forward pass of the whole prompt."""
    ids = torch.tensor([tokenizer(text, add_special_tokens=special)["input_ids"]])
    with torch.no_grad():
        logprobs = model(ids).logits[0, -1].double().log_softmax(-1)
    last = [tokenizer(text + letter, add_special_tokens=special)["input_ids"] for letter in letters]
    assert all(len(tokens) == ids.shape[1] + 1 for tokens in last)
    return [float(logprobs[tokens[-1]]) for tokens in last]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_letters_after_a_template(tiny_world: Callable[..., World], family: str) -> None:
    world = tiny_world(family)
    found = letter_logprobs(world.session, world.renderer, QUESTIONS, LETTERS, [None] * 3, lambda width: 2)
    for question, letters, read in zip(QUESTIONS, LETTERS, found, strict=True):
        text = world.opened.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        assert read == pytest.approx(by_hand(world.model, world.opened.tokenizer, text, letters, False), abs=1e-4)


def test_letters_after_raw_text_and_after_a_newline(tiny_world: Callable[..., World]) -> None:
    """A word needs a space before the letter, which this tokenizer writes as a token; a newline does not."""
    world = tiny_world("llama")
    tokenizer = world.opened.tokenizer
    for template, end in (("none", " "), ("newline", "\n")):
        renderer = Renderer(tokenizer, template=template)
        found = letter_logprobs(world.session, renderer, QUESTIONS, LETTERS, [None] * 3, lambda width: 8)
        for question, letters, read in zip(QUESTIONS, LETTERS, found, strict=True):
            before = tokenizer(question)["input_ids"]
            wanted = []
            for letter in letters:
                ids = tokenizer(question + end + letter)["input_ids"]
                with torch.no_grad():
                    logprobs = world.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
                first = len(before) if template == "none" else len(tokenizer(question + end)["input_ids"])
                wanted.append(sum(float(logprobs[i - 1, ids[i]]) for i in range(first, len(ids))))
            assert read == pytest.approx(wanted, abs=1e-4)


def test_letters_under_a_steer(tiny_world: Callable[..., World]) -> None:
    """Against hooks: the prompt is edited as a prompt, and the letter is what comes next."""
    world = tiny_world("llama")
    line = "add v by 2 at layer 50% during prompt; ablate u at layer 100%"
    found = letter_logprobs(
        world.session, world.renderer, QUESTIONS, LETTERS, [world.acting(line)] * 3, lambda width: 2
    )
    plain = letter_logprobs(world.session, world.renderer, QUESTIONS, LETTERS, [None] * 3, lambda width: 2)
    hooked: Steered = world.steered(line)
    for question, letters, read, before in zip(QUESTIONS, LETTERS, found, plain, strict=True):
        prompt = world.renderer.render(question)
        ids = [world.opened.tokenizer(letter, add_special_tokens=False)["input_ids"] for letter in letters]
        wanted = hooked.forced(prompt.ids, tuple(ids[0]))[0].double().log_softmax(-1)
        assert read == pytest.approx([float(wanted[token[0]]) for token in ids], abs=1e-4)
        assert np.abs(read - before).max() > 0.05


def test_continuations_of_several_tokens(tiny_world: Callable[..., World]) -> None:
    """Sums over tokens, in the order given, and whether each is the greedy one."""
    world = tiny_world("llama")
    a, b = world.prompts[0].ids, world.prompts[1].ids
    with torch.no_grad():
        likeliest = int(world.model(torch.tensor([b])).logits[0, -1].argmax())
    pairs = [(a, (7, 8, 9)), (b, (likeliest,)), (a, (7, 8, 10)), (b, (5, 6))]
    found = continuation_logprobs(world.session, pairs, [None] * len(pairs), lambda width: 2)
    for (context, tokens), (total, greedy) in zip(pairs, found, strict=True):
        with torch.no_grad():
            logits = world.model(torch.tensor([context + tokens])).logits[0, len(context) - 1 : -1].double()
        wanted = sum(float(row.log_softmax(-1)[t]) for row, t in zip(logits, tokens, strict=True))
        assert total == pytest.approx(wanted, abs=1e-4)
        assert greedy == (logits.argmax(-1).tolist() == list(tokens))
    assert found[1][1]


def test_a_full_context_is_not_overrun(tiny_world: Callable[..., World]) -> None:
    """GPT-2 has no place for a token after its last position, and the last token need not be read."""
    world = tiny_world("gpt2")
    context = tuple(range(10, 265))
    [(total, _)] = continuation_logprobs(world.session, [(context, (7, 8))], [None], lambda width: 2)
    with torch.no_grad():
        logits = world.model(torch.tensor([(*context, 7)])).logits[0].double().log_softmax(-1)
    assert total == pytest.approx(float(logits[-2, 7] + logits[-1, 8]), abs=1e-4)


def test_the_template_says_how_an_answer_begins() -> None:
    assert Renderer(tiny_tokenizer()).opening == ""
    assert Renderer(tiny_tokenizer(None)).opening is None
    spaced = CHAT_TEMPLATE.replace("assistant\n", "assistant:").replace("m['role'] }}\n", "m['role'] }}: ")
    assert Renderer(tiny_tokenizer(spaced)).opening == " "
    # A template that writes something of its own before the answer does not show how one begins.
    own = "m['role'] }}\n{% if m['role'] == 'assistant' %}hm {% endif %}"
    assert Renderer(tiny_tokenizer(CHAT_TEMPLATE.replace("m['role'] }}\n", own))).opening is None


def test_a_letter_that_would_merge_with_the_prompt_is_read_alone() -> None:
    renderer = Renderer(tiny_tokenizer(), template="none")
    prompt = renderer.render("th")
    assert len(renderer.tokenizer("the")["input_ids"]) < len(prompt.ids) + 1  # one token in this vocabulary
    # The rule of joining puts a space before a letter, so the rest of the word is asked for as the tokens.
    renderer.joint = lambda text, answer: ""  # type: ignore[method-assign]
    alone = tuple(renderer.tokenizer("e", add_special_tokens=False)["input_ids"])
    assert renderer.follow(prompt.text, prompt.ids, "e") == alone


@pytest.mark.slow
def test_letters_of_the_default_model() -> None:
    """SmolLM2 in float32: "A" after the template, " A" after raw text, one token each."""
    located = default_model()
    opened = open_model(located, dtype="float32", device="cpu")
    model = AutoModelForCausalLM.from_pretrained(located.path, dtype="float32").eval()
    tokenizer, session = opened.tokenizer, Session(opened)
    chat = [
        tokenizer.apply_chat_template([{"role": "user", "content": q}], add_generation_prompt=True, tokenize=False)
        for q in QUESTIONS
    ]
    for template, texts, space in (("chat", chat, ""), ("none", QUESTIONS, " ")):
        renderer = Renderer(tokenizer, template=template)
        found = letter_logprobs(session, renderer, QUESTIONS, LETTERS, [None] * 3, lambda width: 2)
        for text, letters, read in zip(texts, LETTERS, found, strict=True):
            tokens = [tokenizer(space + letter, add_special_tokens=False)["input_ids"] for letter in letters]
            assert all(len(row) == 1 for row in tokens)
            ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
            with torch.no_grad():
                logprobs = model(ids).logits[0, -1].double().log_softmax(-1)
            assert read == pytest.approx([float(logprobs[row[0]]) for row in tokens], abs=1e-3)
