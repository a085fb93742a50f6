"""What shares a request to a server: by the bytes of its rows, and in halves where a server refuses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from world import World

from steerdsl.engine import result_size
from steerdsl.engine.capture import capture
from steerdsl.engine.remote import Link, failure, said, too_large
from steerdsl.engine.result_size import in_parts, joined
from steerdsl.engine.tracing import Session
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.lang.recipe import Position, Stream
from steerdsl.models.batching import Batch, batches
from steerdsl.models.prompts import Rendered

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=150)


def prompts(lengths: Sequence[int]) -> list[Rendered]:
    return [Rendered("", tuple(range(1, n + 1)), (0, n), "") for n in lengths]


def texts(group: Sequence[Batch]) -> list[tuple[int, tuple[int, ...]]]:
    """Each prompt's place and its tokens, without the padding."""
    return [
        (i, tuple(ids[mask].tolist()))
        for batch in group
        for i, ids, mask in zip(batch.index, batch.input_ids, batch.mask, strict=True)
    ]


@given(LENGTHS, st.integers(1, 100), st.integers(1, 2_000_000))
def test_requests_are_bounded_by_bytes(lengths: list[int], size: int, each: int) -> None:
    """Whatever `--batch-size` says; every prompt is read once, in the order of the batches."""
    found = batches(prompts(lengths), size, 0)

    def weigh(batch: Batch) -> int:
        return sum(each * lengths[i] for i in batch.index)

    groups = list(joined(found, "ndif", weigh))
    assert [text for group in groups for text in texts(group)] == texts(found)
    for group in groups:
        index = [i for batch in group for i in batch.index]
        assert len(index) == 1 or sum(each * lengths[i] for i in index) <= 8 * 2**20
        assert len(group) == 1 or len(index) <= 64
    assert list(joined(found, "local", weigh)) == [[batch] for batch in found]


@given(LENGTHS, st.integers(1, 30), st.integers(1, 40), st.sampled_from(["R824", "R831"]))
def test_what_is_refused_is_asked_for_in_halves(lengths: list[int], size: int, most: int, code: str) -> None:
    """Until the server takes it; one prompt that it does not take ends the run."""
    found, asked = batches(prompts(lengths), size, 0), list[int]()

    def ask(group: Sequence[Batch]) -> int:
        tokens = sum(len(ids) for _, ids in texts(group))
        asked.append(tokens)
        if tokens > most:
            raise failure(Diagnostic(code, "too much"))
        return tokens

    if max(lengths) > most:
        with pytest.raises(RecipeError):
            list(in_parts(found, ask))
        assert asked[-1] in lengths
    else:
        given = list(in_parts(found, ask))
        assert [text for group, _ in given for text in texts(group)] == texts(found)
        assert sum(tokens for _, tokens in given) == sum(lengths)


def test_another_failure_is_not_asked_for_again() -> None:
    asked = list[int]()

    def ask(group: Sequence[Batch]) -> None:
        asked.append(len(group))
        raise failure(said(Link("https://a.org", "", "a/b", None, "float32"), "ValueError: no"))

    with pytest.raises(RecipeError):
        list(in_parts(batches(prompts([3, 4, 5]), 2, 0), ask))
    assert asked == [2]


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of the rows that each request brings back."""
    found: list[int] = []
    whole = Session.summarise

    def summarise(self: Session, *arguments: Any) -> dict[str, Any]:
        state = whole(self, *arguments)
        found.append(sum(rows.numel() * 4 for rows in state["rows"]))
        return state

    monkeypatch.setattr(Session, "summarise", summarise)
    return found


@pytest.mark.parametrize("limit", [100, 3_000, 10_000, 10**9])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("position", [Position("last_token"), Position("suffix", 3), Position("all")])
def test_rows_are_the_same_however_they_are_asked_for(
    tiny_world: Callable[..., World],
    saved: list[int],
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    batch_size: int,
    position: Position,
) -> None:
    """In fewer prompts a request, or fewer layers, where one prompt is too large; less than the limit each."""
    here, there = tiny_world("llama"), tiny_world("llama", on="simulate")
    stream, layers = Stream("resid_post"), [0, 1, 2]
    monkeypatch.setattr(result_size, "BYTES", limit)
    monkeypatch.setattr("steerdsl.engine.capture.BYTES", limit)
    local = capture(here.session, here.prompts, position, stream, layers, rows=True, batch_size=batch_size)
    saved.clear()
    found = capture(there.session, there.prompts, position, stream, layers, rows=True, batch_size=batch_size)
    assert local.rows is not None and found.rows is not None and local.variance is not None
    assert found.n == local.n and torch.allclose(found.rows, local.rows, atol=1e-5)
    for one, other in (
        (local.mean, found.mean),
        (local.variance, found.variance),
        (local.median_norm, found.median_norm),
    ):
        assert other is not None and torch.allclose(one, other, atol=1e-5)
    least = 4 * there.opened.arch.d_model * (max(len(p.ids) for p in there.prompts) if position.name == "all" else 3)
    assert max(saved) <= max(limit, least)
    if limit == 10**9:
        assert len(saved) == 1


def test_a_request_that_is_refused_is_halved(tiny_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes two prompts a request gives what one gives that takes them all."""
    world = tiny_world("llama", on="simulate")
    whole, link = Session.summarise, Link("https://a.org", "", "a/b", None, "float32")

    def summarise(self: Session, jobs: Sequence[dict[str, Any]], *arguments: Any) -> dict[str, Any]:
        if sum(len(job["picked"]) for job in jobs) > 2:
            raise failure(too_large(link, "the request"))
        return whole(self, jobs, *arguments)

    at = world.session, world.prompts, Position("mean_content"), Stream("resid_mid"), [0, 2]
    expected = capture(*at, rows=True)
    monkeypatch.setattr(Session, "summarise", summarise)
    found = capture(*at, rows=True)
    assert expected.rows is not None and found.rows is not None
    assert torch.allclose(found.rows, expected.rows, atol=1e-5) and torch.allclose(found.mean, expected.mean, atol=1e-5)
