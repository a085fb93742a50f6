"""Answers that are drawn: from the right distribution, and each from random numbers of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import FAMILIES
from world import World

from steerdsl.engine.batch_edits import compile_rows
from steerdsl.engine.generate import Answer, AnswerRow, answer, generate, rows_of
from steerdsl.engine.sampling import chooser, uniforms
from steerdsl.planning.requests import Sampling

WARM = Sampling(max_tokens=6, temperature=0.8, n=2, seed=5)
LINE = "add v by 2 at layer 50%"


def by_hand(world: World, prompt: Sequence[int], line: str, sampling: Sampling, sample: int, copy: int) -> list[int]:
    """One answer by full forward passes under hooks: numpy's softmax, and the first token whose sum of
    probabilities passes the number that its hash gives."""
    told = f"{sampling.seed},{copy},{sample},{','.join(map(str, prompt))}"
    drawn = np.frombuffer(hashlib.shake_256(told.encode()).digest(8 * sampling.max_tokens), "<u8")
    hooked = world.steered(line)
    ids: list[int] = []
    for number in (drawn >> 11).astype(np.float64) / 2**53:
        logits = hooked.forced(tuple(prompt), (*ids, 0))[-1].double().numpy() / sampling.temperature
        p = np.exp(logits - logits.max())
        token = int(np.searchsorted(p.cumsum(), number * p.sum(), side="right"))
        if token == world.model.generation_config.eos_token_id:
            break
        ids.append(token)
    return ids


@pytest.mark.parametrize("family", FAMILIES)
def test_a_drawn_answer_is_what_its_own_numbers_give(tiny_world: Callable[..., World], family: str) -> None:
    world = tiny_world(family)
    touches = compile_rows([world.acting(LINE)], world.opened.arch)
    made = [a for batch in generate(world.session, world.prompts, touches, WARM, 4) for a in batch]
    assert len(made) == 2 * len(world.prompts)
    for a in made:
        wanted = by_hand(world, world.ids[a.prompt], LINE, WARM, a.sample, 0)
        assert list(a.token_ids) == wanted
    assert len({a.token_ids for a in made}) > len(world.prompts)


def mixed(world: World) -> list[tuple[str, AnswerRow]]:
    """Rows of several steers and settings, greedy and drawn, the prompts in some order."""
    found = []
    for line in ("", LINE):
        for sampling in (Sampling(6), WARM, replace(WARM, temperature=1.5, seed=9, n=1)):
            found += [(line, row) for rows in rows_of(world.prompts, sampling) for row in rows]
    return found


def answered(world: World, asked: Sequence[tuple[str, AnswerRow]]) -> list[Answer]:
    steers = {line: world.acting(line) for line, _ in asked}
    touches = compile_rows([steers[line] for line, _ in asked], world.opened.arch)
    return answer(world.session, [row for _, row in asked], touches)


@pytest.mark.parametrize("on", ["local", "simulate"])
@pytest.mark.parametrize("family", ["llama", "opt", "gemma2"])
def test_no_row_depends_on_its_neighbours(tiny_world: Callable[..., World], family: str, on: str) -> None:
    world = tiny_world(family, on=on)
    asked = mixed(world)
    together = answered(world, asked)
    alone = [answered(world, [one])[0] for one in asked[:: 1 if on == "local" else 7]]
    assert together[:: 1 if on == "local" else 7] == alone
    greedy = [a for (line, row), a in zip(asked, together, strict=True) if not row.sampling.temperature]
    wanted = [*world.hooks_tokens("", 6), *world.hooks_tokens(LINE, 6)]
    assert [list(a.token_ids) for a in greedy] == wanted


def test_more_tokens_and_more_answers_only_add(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("llama")
    few = {(a.prompt, a.sample): a for b in generate(world.session, world.prompts, (), WARM, 100) for a in b}
    more = replace(WARM, max_tokens=9, n=3)
    many = {(a.prompt, a.sample): a for b in generate(world.session, world.prompts, (), more, 4) for a in b}
    assert all(many[place].token_ids[: len(a.token_ids)] == a.token_ids for place, a in few.items())
    assert len(many) == 3 * len(world.prompts)


def test_equal_prompts_are_drawn_apart(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("llama")
    rows = rows_of([world.prompts[0], world.prompts[1], world.prompts[0]], replace(WARM, n=1))
    assert [own[0].copy for own in rows] == [0, 0, 1]
    first, _, again = (a.token_ids for a in answer(world.session, [own[0] for own in rows], ()))
    assert first != again


def test_the_draw_has_the_softmax_as_its_distribution() -> None:
    """20 000 draws of one distribution at three temperatures, by a chi-square over its tokens."""
    torch.manual_seed(0)
    logits, count = torch.randn(1, 40) * 2, 20_000
    numbers = torch.tensor([uniforms(1, (3, 4), 0, k, 1) for k in range(count)], dtype=torch.float64)
    for temperature in (0.3, 1.0, 2.5):
        choose = chooser(torch.full((count,), temperature), numbers, 7)
        drawn = choose(torch.zeros(count, 7), logits.expand(count, -1)).argmax(-1)
        p = np.exp(logits[0].double().numpy() / temperature)
        expected = count * p / p.sum()
        likely = expected > 5
        found = np.bincount(drawn.numpy(), minlength=40)
        chi = float((((found - expected) ** 2) / expected)[likely].sum())
        assert chi < likely.sum() + 4 * np.sqrt(2 * likely.sum())
        assert found[~likely].sum() < 10 * expected[~likely].sum() + 20


@pytest.mark.parametrize("temperature", [1e-300, 1e-6, 1e6])
def test_extreme_temperatures_are_finite(temperature: float) -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, -60.0, 1.0]])
    numbers = torch.tensor([[0.9999], [0.0001]], dtype=torch.float64)
    chosen = chooser(torch.full((2,), temperature, dtype=torch.float64), numbers, 4)(torch.zeros(2, 4), logits)
    assert chosen.argmax(-1).tolist() == ([1, 0] if temperature < 1 else [2, 0])


def test_numbers_are_uniform_and_their_own() -> None:
    drawn = np.array([uniforms(0, (1, 2, 3), 0, k, 100) for k in range(100)])
    assert drawn.shape == (100, 100) and drawn.min() >= 0 and drawn.max() < 1
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert float(((counts - 500) ** 2 / 500).sum()) < 20 + 4 * np.sqrt(40)
    assert (
        len({uniforms(s, ids, c, k, 1)[0] for s in (0, 1) for ids in ((1,), (1, 1)) for c in (0, 1) for k in (0, 1)})
        == 16
    )
