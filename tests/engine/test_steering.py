"""Steered generation against plain PyTorch hooks: every operation, site, phase and condition."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import EVERYWHERE, TABLE, streams_of
from families import FAMILIES
from hooks import left_padded
from tiny import CASES
from world import World

TOKENS = 8  # more than any window of the table
ROWS = [("llama", line) for line in TABLE]
ROWS += [(f, line) for f in CASES if f != "llama" for line in EVERYWHERE if streams_of(line) <= set(FAMILIES[f])]


@pytest.mark.parametrize(("family", "line"), ROWS)
def test_tokens_equal_hooks(tiny_world: Callable[..., World], family: str, line: str) -> None:
    world = tiny_world(family)
    wanted = world.hooks_tokens(line, TOKENS)
    assert world.engine_tokens(line, TOKENS, batch_size=4) == wanted
    assert wanted != world.unsteered(TOKENS), "a steer that changes nothing shows nothing"


@pytest.mark.parametrize(("family", "line"), ROWS)
def test_activations_equal_hooks(tiny_world: Callable[..., World], family: str, line: str) -> None:
    """After every block, at every real token of the prompts, in one batch."""
    world = tiny_world(family)
    ids, mask = left_padded(world.ids)
    where = [("resid_post", layer) for layer in range(world.n_layers)]
    wanted, _ = world.steered(line).read(ids, mask, where)
    got = world.captured(ids, mask, where, world.touches(line))
    torch.testing.assert_close(got, torch.stack([h[mask] for h in wanted]).double(), atol=1e-5, rtol=1e-5)


def test_the_table_names_every_stream_of_every_family(tiny_world: Callable[..., World]) -> None:
    for family in CASES:
        assert set(tiny_world(family).opened.arch.streams) == set(FAMILIES[family])
