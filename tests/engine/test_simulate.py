"""The rehearsal of the remote path, where each request is serialised and run from its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from cases import PATCH
from world import World

from steerdsl.engine.capture import capture
from steerdsl.engine.generate import generate
from steerdsl.engine.likelihood import read_shifts
from steerdsl.lang.recipe import Position, Stream
from steerdsl.planning.requests import Sampling

LINES = (
    "ablate v[50%] everywhere",
    "add v by 40% at layer 50% first 3 keep norm",
    "clamp h to 2 on head(1, 0), head(1, 1)",
    "rotate p to 210deg on resid_mid when step > 2",
    f'patch from "{PATCH}" at layer 50%',
    "cap v to {each proj(v)} when proj(v) > {each proj(v)}",
    "add v by 2 when cos(v) > {cos(v)} at layer 50%",
)


@pytest.fixture
def pair(tiny_world: Callable[..., World]) -> Iterable[World]:
    return [tiny_world("gemma2", on=on) for on in ("local", "simulate")]


@pytest.mark.parametrize("line", LINES)
def test_tokens_and_readings(pair: Iterable[World], line: str) -> None:
    """Steers compiled on each side, since a patch reads its prompt through the session too."""
    tokens, readings, shifts = [], [], []
    for world in pair:
        tokens.append(world.engine_tokens(line, 6, batch_size=4))
        readings.append(torch.cat(world.logits(world.touches(line), 3)))
        pairs = list(zip(world.readings(), world.readings(line), strict=True))
        shifts.append(torch.cat(read_shifts(world.session, pairs, lambda width: 3)))
    assert tokens[0] == tokens[1] != [list(t) for t in world.unsteered(6)]
    assert torch.equal(*readings) and torch.equal(*shifts)


@pytest.mark.parametrize("position", ["last_token", "mean_content", "all"])
@pytest.mark.parametrize("line", ["", "ablate v[50%] everywhere"])
def test_captures(pair: Iterable[World], position: str, line: str) -> None:
    found = []
    for world in pair:
        touches = world.touches(line) if line else []
        at = Position(position)
        found.append(capture(world.session, world.prompts, at, Stream("resid_mid"), [0, 2], rows=True, touches=touches))
    local, simulated = found
    assert torch.equal(local.mean, simulated.mean) and local.n == simulated.n
    assert local.rows is not None and simulated.rows is not None
    assert torch.equal(local.rows, simulated.rows)


def test_samples(pair: Iterable[World]) -> None:
    """The same seed draws the same tokens, several answers a prompt."""
    sampling = Sampling(max_tokens=5, temperature=0.9, n=2, seed=3)
    local, simulated = (
        [batch for batch in generate(w.session, w.prompts, w.touches("add v by 20%"), sampling, 4)] for w in pair
    )
    assert local == simulated
    assert len({a.token_ids for batch in local for a in batch}) > len(local)
