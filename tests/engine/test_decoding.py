"""Batches that lose rows while they are answered: every answer is what hooks give, one variant at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from families import FAMILIES
from test_sampling import by_hand
from world import World

from steerdsl.engine.batch_edits import compile_rows, while_read
from steerdsl.engine.decoding import LEAVE
from steerdsl.engine.generate import Answer, AnswerRow, answer, generate, rows_of
from steerdsl.engine.meter import Meter
from steerdsl.planning.requests import Sampling

TOKENS = 12
LATER = "add v by 2 at layer 50% during generation"
DECIDED = "add v by 2 at layer 100% when cos(v) > {cos(v)} at layer 50%"
# What each steer does while the prompt is read: nothing, or something of its own.
LINES = {
    "": False,
    LATER: False,
    f"{DECIDED} during generation": False,
    "rotate p to 90deg when step > 2": False,
    "add mid by 2 at layer 50% on resid_mid during generation": False,
    "add v by 2 at layer 50%": True,
    "add v by -3 at layer 50%": True,
    f"{DECIDED}; ablate u during generation": True,
    "add v by 2 at layer 50% first 3": True,
}
WARM = Sampling(TOKENS, temperature=0.9, n=3, seed=4)
Asked = Sequence[tuple[str, AnswerRow]]


@pytest.fixture
def ends(tiny_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> Callable[[World], set[int]]:
    """Gives the tokens that end an answer of a world from here on: so many that rows end at different steps."""

    def chosen(world: World, every: int = 9) -> set[int]:
        own = world.opened.info.stop_ids
        found = {*own, *range(5, world.opened.model.config.get_text_config().vocab_size, every)}
        monkeypatch.setattr(world.opened.model.generation_config, "eos_token_id", sorted(found))
        return found

    return chosen


@contextmanager
def watched(world: World) -> Iterator[list[int]]:
    """How many rows each forward pass has."""
    seen: list[int] = []
    handle = world.opened.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    yield seen
    handle.remove()


def rows_for(world: World, lines: Sequence[str], *asked: Sampling) -> Asked:
    """The rows of one batch, those of a line together."""
    return [(line, row) for line in lines for how in asked for own in rows_of(world.prompts, how) for row in own]


def answered(world: World, asked: Asked, meter: Meter | None = None) -> list[Answer]:
    steers = {line: world.acting(line) for line, _ in asked}
    touches = compile_rows([steers[line] for line, _ in asked], world.opened.arch)
    reading = [while_read(steers[line]) for line, _ in asked]
    return answer(world.session, [row for _, row in asked], touches, meter, reading)


def cut(tokens: Sequence[int], ends: set[int]) -> list[int]:
    return list(tokens[: next((at for at, token in enumerate(tokens) if token in ends), len(tokens))])


def lines_of(world: World) -> list[str]:
    return [line for line in LINES if "resid_mid" not in line or "resid_mid" in world.opened.arch.streams]


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_each_row_alone(
    tiny_world: Callable[..., World], ends: Callable[..., set[int]], family: str
) -> None:
    world = tiny_world(family)
    stop, lines = ends(world), lines_of(world)
    asked = rows_for(world, lines, Sampling(TOKENS))
    with watched(world) as passes:
        made = answered(world, asked)
    wanted = [cut(tokens, stop) for line in lines for tokens in world.hooks_tokens(line, TOKENS)]
    assert [list(a.token_ids) for a in made] == wanted
    assert [a.ended for a in made] == [len(tokens) < TOKENS for tokens in wanted]
    read = sum(LINES[line] for line in lines) + 1
    assert passes[0] == read * len(world.prompts)
    going = [sum(len(tokens) > step for tokens in wanted) for step in range(TOKENS)]
    for step, rows in enumerate(passes[1:]):
        assert going[step] <= rows < going[step] / (1 - 1 / LEAVE) + 1


@pytest.mark.parametrize("on", ["local", "simulate"])
def test_sampled_rows_keep_their_own_numbers(
    tiny_world: Callable[..., World], ends: Callable[..., set[int]], on: str
) -> None:
    world = tiny_world("llama", on=on)
    stop, lines = ends(world), ("", LATER, "add v by 2 at layer 50%")
    hot = replace(WARM, temperature=1.4, n=1, seed=11)
    asked = rows_for(world, lines, Sampling(TOKENS), WARM, hot)
    with watched(world) as passes:
        made = answered(world, asked)
    assert passes[0] == 2 * len(world.prompts) and passes[-1] < len(asked)
    for (line, row), a in zip(asked, made, strict=True):
        if row.sampling.temperature:
            wanted = by_hand(world, row.prompt.ids, line or "add v by 0 at layer 50%", row.sampling, row.sample, 0)
        else:
            wanted = world.hooks_tokens(line, TOKENS)[row.place]
        assert list(a.token_ids) == cut(wanted, stop)


@pytest.mark.parametrize("on", ["local", "simulate"])
def test_a_server_keeps_all_rows_and_gives_the_same_answers(
    tiny_world: Callable[..., World], ends: Callable[..., set[int]], monkeypatch: pytest.MonkeyPatch, on: str
) -> None:
    world = tiny_world("llama", on=on)
    ends(world)
    asked = rows_for(world, list(LINES), Sampling(TOKENS), WARM)
    made = answered(world, asked)
    monkeypatch.setattr(world.session, "leaves", False)
    with watched(world) as passes:
        assert answered(world, asked) == made
    assert set(passes) == {len(asked)}


def test_one_steer_reads_equal_prompts_once(tiny_world: Callable[..., World], ends: Callable[..., set[int]]) -> None:
    world = tiny_world("llama")
    stop, line = ends(world), "add v by 2 at layer 50%"
    prompts = [*world.prompts, world.prompts[1]]
    with watched(world) as passes:
        made = [
            a for batch in generate(world.session, prompts, world.touches(line), Sampling(TOKENS), 8) for a in batch
        ]
    assert passes[0] == len(world.prompts)
    wanted = [cut(tokens, stop) for tokens in world.hooks_tokens(line, TOKENS)]
    found = {a.prompt: list(a.token_ids) for a in made}
    assert [found[place] for place in range(6)] == [*wanted, wanted[1]]


def test_rows_that_never_end_stay(tiny_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    world = tiny_world("llama")
    monkeypatch.setattr(world.opened.model.generation_config, "eos_token_id", [])
    asked = rows_for(world, ("add v by 2 at layer 50%",), Sampling(TOKENS))
    with watched(world) as passes:
        made = answered(world, asked)
    assert passes == [len(asked)] * TOKENS
    assert all(len(a.token_ids) == TOKENS and not a.ended for a in made)


def test_a_batch_whose_rows_all_end_at_once(tiny_world: Callable[..., World], ends: Callable[..., set[int]]) -> None:
    world = tiny_world("llama")
    ends(world, every=1)
    asked = rows_for(world, ("", LATER), Sampling(TOKENS))
    with watched(world) as passes:
        made = answered(world, asked)
    wanted = [cut(tokens, set(range(5, 10**6))) for tokens in 2 * world.hooks_tokens("", TOKENS)]
    assert [list(a.token_ids)[:1] for a in made] == [tokens[:1] for tokens in wanted]
    assert passes[0] == len(world.prompts) and len(passes) <= TOKENS


def test_the_meter_counts_the_rows_that_are_left(
    tiny_world: Callable[..., World], ends: Callable[..., set[int]]
) -> None:
    world = tiny_world("llama")
    ends(world)
    told: list[tuple[Any, ...]] = []
    asked = rows_for(world, ("", LATER), Sampling(TOKENS))
    meter = Meter(lambda *args: told.append(args), "answers", len(asked), TOKENS)
    made = answered(world, asked, meter)
    # An end token is a token that was made.
    assert told[-1][1:3] == (sum(len(a.token_ids) + a.ended for a in made),) * 2


def test_a_row_that_breaks_leaves_and_its_neighbours_stay(
    tiny_world: Callable[..., World], ends: Callable[..., set[int]]
) -> None:
    world = tiny_world("llama")
    stop, broken = ends(world), "; ".join(9 * ["add v by 1e38 at layer 50% during generation"])
    asked = rows_for(world, ("", broken, LATER), Sampling(TOKENS))
    made = answered(world, asked)
    for (line, row), a in zip(asked, made, strict=True):
        wanted = cut(world.hooks_tokens("" if line == broken else line, TOKENS)[row.place], stop)
        if line != broken:
            assert a.broken is None and list(a.token_ids) == wanted
        elif len(wanted) > 1:
            assert a.broken is not None and "at answer token 2" in a.broken.problem
