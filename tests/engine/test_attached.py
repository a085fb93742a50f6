"""Models that a program has loaded itself: the same tokens as plain hooks, for every steer of the table, and a clear
refusal of each pass that a steer cannot follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import pytest
import torch
from cases import EVERYWHERE, TABLE, streams_of
from families import FAMILIES
from hooks import left_padded
from tiny import CASES, tiny
from transformers import DynamicCache
from world import World

from steerdsl.engine.attached import attached
from steerdsl.lang.diagnostics import RecipeError

TOKENS = 8
ROWS = [("llama", line) for line in TABLE]
ROWS += [(f, line) for f in CASES if f != "llama" for line in EVERYWHERE if streams_of(line) <= set(FAMILIES[f])]
STEER = "add v by 2 at layer 50%; ablate u at layer 100% when cos(v) > {cos(v)} at layer 50%"


def tokens(world: World, ids: Sequence[Sequence[int]], **settings: Any) -> list[list[int]]:
    """Greedy tokens of each prompt by transformers alone."""
    given, mask = left_padded(ids)
    ends = world.opened.model.generation_config.eos_token_id
    known = {
        "eos_token_id": ends,
        "attention_mask": mask.long(),
        "max_new_tokens": TOKENS,
        "do_sample": False,
        "pad_token_id": 0,
    }
    with torch.no_grad():
        out = world.model.generate(input_ids=given, **{**known, **settings})
    return [list(takewhile(lambda token: token not in ends, row)) for row in out[:, given.shape[1] :].tolist()]


@pytest.mark.parametrize(("family", "line"), ROWS)
def test_tokens_equal_hooks(tiny_world: Callable[..., World], family: str, line: str) -> None:
    """Every operation, site, time and condition, prompts of unequal length in one batch; nothing is left behind."""
    world = tiny_world(family)
    before, wanted = tokens(world, world.ids), world.hooks_tokens(line, TOKENS)
    with attached(world.model, world.touches(line)):
        assert tokens(world, world.ids) == wanted
    assert tokens(world, world.ids) == before and "generate" not in vars(world.model)


@pytest.fixture
def world(tiny_world: Callable[..., World]) -> World:
    return tiny_world("llama")


def test_token_by_token_is_the_same_as_generate(world: World) -> None:
    """A program's own loop: the first call reads the prompt, each later one a token."""
    ids = torch.tensor([world.ids[0]])
    with attached(world.model, world.touches(STEER)), torch.no_grad():
        wanted = tokens(world, world.ids[:1], max_new_tokens=5, eos_token_id=[])
        for _ in range(2):  # a second prompt begins anew
            cache, given, found = DynamicCache(config=world.model.config), ids, []
            for _ in range(5):
                given = world.model(given, past_key_values=cache, use_cache=True).logits[:, -1:].argmax(-1)
                found.append(int(given))
    assert [found] == wanted


def test_several_answers_and_beams_of_a_prompt_are_steered(world: World) -> None:
    """With one beam beams are greedy; samples of one seed differ from those without the steer."""
    ids, wanted = world.ids[:2], world.hooks_tokens(STEER, TOKENS)[:2]
    with attached(world.model, world.touches(STEER)):
        greedy = tokens(world, ids)
        beams = tokens(world, ids, num_beams=3, num_return_sequences=3)
        torch.manual_seed(0)
        drawn = tokens(world, ids, do_sample=True, num_return_sequences=3)
    torch.manual_seed(0)
    assert drawn != tokens(world, ids, do_sample=True, num_return_sequences=3)
    assert len(beams) == len(drawn) == 6 and greedy == wanted


def test_steers_that_are_open_together_act_one_after_another(world: World) -> None:
    first, second = "add v by 2 at layer 50%", "ablate u at layer 50%"
    both, one = (world.hooks_tokens(line, TOKENS) for line in (f"{first}; {second}", second))
    with attached(world.model, world.touches(second)):
        assert tokens(world, world.ids) == one
        with attached(world.model, world.touches(first)):
            pass
        assert tokens(world, world.ids) == one
    with attached(world.model, world.touches(first)), attached(world.model, world.touches(second)):
        assert tokens(world, world.ids) == both


def uncached(world: World) -> None:
    tokens(world, world.ids[:1], use_cache=False)


def assisted(world: World) -> None:
    tokens(world, world.ids[:1], assistant_model=tiny("llama", seed=1), eos_token_id=[])


def looked_up(world: World) -> None:
    tokens(world, [world.ids[0] * 2], prompt_lookup_num_tokens=3, eos_token_id=[])


def in_chunks(world: World) -> None:
    tokens(world, world.ids[:1], prefill_chunk_size=4)


def from_a_cache(world: World) -> None:
    cache = DynamicCache(config=world.model.config)
    ids = torch.tensor([world.ids[0]])
    outside = world.model.forward  # not a call of the module, so no hook hears of it
    outside(ids[:, :4], past_key_values=cache, use_cache=True)
    tokens(world, world.ids[:1], past_key_values=cache)


def odd_mask(world: World) -> None:
    ids = torch.tensor([world.ids[0]])
    count = ids.shape[1]
    world.model(ids, attention_mask=torch.ones(1, 1, count, count).bool())


@pytest.mark.parametrize("call", [uncached, assisted, looked_up, in_chunks, from_a_cache, odd_mask])
def test_a_pass_that_cannot_be_followed_is_refused(world: World, call: Callable[[World], None]) -> None:
    """And the model is as it was, in the context and after it."""
    before, steered = tokens(world, world.ids), world.hooks_tokens(STEER, TOKENS)
    with attached(world.model, world.touches(STEER)), torch.no_grad():
        with pytest.raises(RecipeError) as caught:
            call(world)
        assert [d.code for d in caught.value.diagnostics] == ["R903"] and caught.value.diagnostics[0].help
        assert tokens(world, world.ids) == steered
    assert tokens(world, world.ids) == before
