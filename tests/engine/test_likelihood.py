"""Texts read in one pass under a steer, against cached decoding token by token under hooks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import PATCH
from hooks import Steered
from world import World

from steerdsl.engine.likelihood import Reading, read_shifts, read_texts
from steerdsl.engine.probe import Probe
from steerdsl.lang.recipe import Stream
from steerdsl.methods.divergence import kl
from steerdsl.methods.types import Trial
from steerdsl.models.cache import no_progress

LINES = (
    "ablate v",
    "add v by 2 at layer 50% during prompt",
    "add v by 2 at layer 50% during generation",
    "add v by 2 at layer 50% first 3",
    "add v by 2 at layer 50% after 3",
    "add mid by 2 at layer 50% on resid_mid first 5 after 2",
    "ablate v[50%] everywhere during generation",
    "add h by 3 on head(1, 2) keep norm when step < 4",
    "rotate p to 210deg at layer 50% when step > 2",
    "rotate p by 150deg adaptive",
    f'patch from "{PATCH}" at layer 50% on mlp_out',
    'patch from "Why?" at layer 50% with align: start',
    "ablate v when proj(v) > {each proj(v)}",
    "add v by 2 at layer 100% when cos(v) > {cos(v)} at layer 50%",
    # The condition is read deeper than the operation acts: the prompt is past before it is known.
    "add v by 2 at layer 0% when cos(v) > {cos(v)} at layer 50%",
    "ablate v keep norm when cos(v) <= {cos(v)} at layer 50% during generation",
    "add v by 2 when cos(v) > {cos(v)} at layer 50%; ablate u when proj(att) > {proj(att)} at layer 50%",
)


def check(world: World, line: str) -> float:
    """Engine and hooks agree on every text. Returns how far the steer moves a log-probability."""
    texts, starts = world.answered, [len(ids) for ids in world.ids]
    hooked = world.steered(line) if line else Steered(world.model, world.family)
    moved = []
    plain = read_texts(world.session, world.readings(), lambda width: 5)
    scored = read_texts(world.session, world.readings(line), lambda width: 3)
    readings = world.logits(world.touches(line) if line else [], batch_size=3)
    for text, start, logprobs, logits, unsteered in zip(texts, starts, scored, readings, plain, strict=True):
        prompt, answer = text.ids[:start], text.ids[start:]
        wanted = hooked.forced(prompt, answer)
        torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-5)
        expected = wanted.double().log_softmax(-1)[range(len(answer)), list(answer)]
        torch.testing.assert_close(logprobs, expected, atol=1e-4, rtol=0)
        moved.append(float((logprobs - unsteered).abs().max()))
    return max(moved)


@pytest.mark.parametrize("line", LINES)
def test_one_pass_equals_decoding(tiny_world: Callable[..., World], line: str) -> None:
    assert check(tiny_world("llama"), line) > 0.05


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "opt", "gpt_neox", "qwen3"])
def test_other_families(tiny_world: Callable[..., World], family: str) -> None:
    assert check(tiny_world(family), "") < 1e-4  # batches of three and of five
    assert check(tiny_world(family), "add v by 2 at layer 50% first 3; ablate h on head(0, 1) during generation") > 0.05


@pytest.mark.parametrize("family", ["llama", "opt", "gemma2"])
def test_steers_that_share_batches_read_what_each_reads_alone(tiny_world: Callable[..., World], family: str) -> None:
    """Unsteered texts, and those of several steers, conditions that are decided too late among them."""
    world = tiny_world(family)
    lines = ["", LINES[0], LINES[3], LINES[13], LINES[14], "add v by 1 at layer 50%", "add v by -3 at layer 50%"]
    readings = [world.readings(line) for line in lines]
    texts = [text for own in readings for text in own]
    for size in (4, 100):
        found = iter(read_texts(world.session, texts, lambda width, size=size: size))  # type: ignore[misc]
        pairs = [(plain, text) for own in readings for plain, text in zip(readings[0], own, strict=True)]
        moved = iter(read_shifts(world.session, pairs, lambda width, size=size: size))  # type: ignore[misc]
        for line, own in zip(lines, readings, strict=True):
            hooked = world.steered(line) if line else Steered(world.model, family)
            for text in own:
                prompt, answer = text.ids[: text.start], text.ids[text.start :]
                wanted = hooked.forced(prompt, answer).double().log_softmax(-1)
                expected = wanted[range(len(answer)), list(answer)]
                torch.testing.assert_close(next(found), expected, atol=1e-4, rtol=0)
                plain = Steered(world.model, family).forced(prompt, answer).double().log_softmax(-1)
                shift = (plain.exp() * (plain - wanted)).sum(-1)
                torch.testing.assert_close(next(moved), shift, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("line", ["", LINES[0], LINES[13], LINES[14]])
def test_how_far_distributions_move(tiny_world: Callable[..., World], line: str) -> None:
    """KL(unsteered ‖ steered) token by token, where the steered texts have an instruction before them as well."""
    world = tiny_world("llama")
    before = world.renderer.render("Be brief.").ids if line else ()
    starts = [len(ids) for ids in world.ids]
    pairs = list(zip(world.readings(), world.readings(line, before), strict=True))
    found = read_shifts(world.session, pairs, lambda width: 3)
    hooked = world.steered(line) if line else Steered(world.model, "llama")
    bare = Steered(world.model, "llama")
    for text, start, nats in zip(world.answered, starts, found, strict=True):
        prompt, answer = text.ids[:start], text.ids[start:]
        p = bare.forced(prompt, answer).double().softmax(-1)
        q = hooked.forced((*before, *prompt), answer).double().softmax(-1)
        wanted = (p * (p.log() - q.log())).sum(-1)
        torch.testing.assert_close(nats, wanted, atol=1e-5, rtol=1e-4)
        assert float(wanted.max()) > 0.01 if line else float(nats.abs().max()) == 0


def test_plain_texts_equal_transformers(tiny_world: Callable[..., World]) -> None:
    """Every token but the first, as perplexity reads them."""
    world = tiny_world("gpt2")
    readings = read_texts(world.session, [Reading(prompt.ids, 1) for prompt in world.prompts], lambda width: 2)
    for prompt, logprobs in zip(world.prompts, readings, strict=True):
        ids = torch.tensor([prompt.ids])
        with torch.no_grad():
            logits = world.model(ids).logits[0, :-1].double().log_softmax(-1)
        assert len(logprobs) == len(prompt.ids) - 1
        torch.testing.assert_close(logprobs, logits.gather(-1, ids[0, 1:, None])[:, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("stream", ["resid_pre", "resid_mid", "resid_post", "attn_out"])
@pytest.mark.parametrize("size", [1, 8])
def test_what_a_criterion_asks_the_model(
    tiny_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, stream: str, size: int
) -> None:
    """Figures of last-position logits, in the order of trials and prompts: ablated everywhere, added to."""
    world = tiny_world("llama")
    sides = {"positive": world.prompts, "negative": world.prompts[:2]}
    probe = Probe(world.session, sides, Stream(stream), 2, no_progress)
    direction = (world.material.raw["v"][1] / world.material.raw["v"][1].norm()).float()

    def wanted(line: str) -> torch.Tensor:
        hooked = world.steered(line) if line else Steered(world.model, "llama")
        return torch.stack([hooked.forced(ids, [0])[0] for ids in world.ids])

    raw = world.material.raw["v"][1, 0].float()
    trials = [Trial(ablate=direction), Trial(add=(1, 2 * raw))]
    lines = ["ablate v[50%] everywhere", f"add v by 2 at layer 1 on {stream}"]
    monkeypatch.setattr("steerdsl.engine.probe.TRIALS", size)
    for token in (1, 5, 9):
        weighed = lambda plain, tried: 2 * plain[:, token].double() + tried[:, token]  # noqa: B023, E731
        expected = torch.stack([weighed(wanted(""), wanted(line)) for line in lines])
        torch.testing.assert_close(probe.figures("positive", trials, weighed), expected, atol=5e-4, rtol=1e-5)
    assert probe.figures("negative", trials, kl).shape == (2, 2)


def test_first_tokens_are_those_an_answer_begins_with(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("llama")
    probe = Probe(world.session, {}, Stream("resid_post"), 2, no_progress)
    texts = ["I cannot", " Sorry", "As an AI"]
    assert [world.opened.tokenizer.decode([t]) for t in probe.first_tokens(texts)] == ["I", " ", "A"]
