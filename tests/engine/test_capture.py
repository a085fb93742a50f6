"""Captured activations and their statistics, against transformers' own and numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hooks import Steered, left_padded
from tiny import CASES
from torch import Tensor
from world import World

from steerdsl.engine.capture import capture
from steerdsl.engine.moments import result, take
from steerdsl.lang.recipe import Position, Stream
from steerdsl.methods.types import Activations
from steerdsl.models.prompts import Rendered
from steerdsl.registry import find

LAST = Position("last_token")
LAYERS = (0, 1, 2)


def read(world: World, position: Position = LAST, stream: str = "resid_post", **options: object) -> Activations:
    given = {"rows": True, "batch_size": 8, **options}
    prompts = given.pop("prompts", world.prompts)
    return capture(world.session, prompts, position, Stream(stream), given.pop("layers", LAYERS), **given)


def hidden(world: World) -> tuple[Tensor, ...]:
    """transformers' hidden states [B, S, d] of all prompts in one batch, the longest first."""
    ids, mask = left_padded(sorted(world.ids, key=len, reverse=True))
    positions = (mask.long().cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        out = world.model(input_ids=ids, attention_mask=mask.long(), position_ids=positions, output_hidden_states=True)
    return out.hidden_states


def alone(world: World, stream: str, prompts: Sequence[Rendered]) -> list[Tensor]:
    """What flows through a stream at every layer when each prompt is read on its own: [L, S, d]."""
    hooked, found = Steered(world.model, world.family), []
    for prompt in prompts:
        ids = torch.tensor([prompt.ids])
        kept, _ = hooked.read(ids, torch.ones_like(ids).bool(), [(stream, layer) for layer in LAYERS])
        found.append(torch.stack([h[0].double() for h in kept]))
    return found


@pytest.mark.parametrize("family", CASES)
def test_last_tokens_are_hidden_states_bit_for_bit(tiny_world: Callable[..., World], family: str) -> None:
    """resid_pre of every layer, and resid_post of all but the last: the last hidden state is another."""
    world = tiny_world(family)
    *states, final = (h[:, -1] for h in hidden(world))
    wanted = torch.stack(states)
    order = sorted(range(len(world.ids)), key=lambda i: -len(world.ids[i]))
    pre, post = (read(world, stream=s).rows for s in ("resid_pre", "resid_post"))
    assert pre is not None and post is not None
    assert torch.equal(pre[order].transpose(0, 1), wanted)
    assert torch.equal(post[order, :2].transpose(0, 1), wanted[1:])
    assert not torch.equal(post[order, 2], final)


POSITIONS: dict[str, tuple[Position, Callable[[Rendered, Tensor], Tensor]]] = {
    "last_token": (LAST, lambda p, h: h[:, -1:]),
    "token 3": (Position("token", 3), lambda p, h: h[:, 3:4]),
    "token -2": (Position("token", -2), lambda p, h: h[:, -2:-1]),
    "suffix 4": (Position("suffix", 4), lambda p, h: h[:, -4:]),
    "suffix": (Position("suffix"), lambda p, h: h[:, -p.tail :]),
    "mean_prompt": (Position("mean_prompt"), lambda p, h: h[:, : (p.response or (len(p.ids),))[0]].mean(1, True)),
    "mean_content": (Position("mean_content"), lambda p, h: h[:, p.content[0] : p.content[1]].mean(1, True)),
    "mean_response": (Position("mean_response"), lambda p, h: h[:, p.response[0] : p.response[1]].mean(1, True)),
    "all": (Position("all"), lambda p, h: h),
}


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("name", POSITIONS)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_positions(tiny_world: Callable[..., World], family: str, name: str, batch_size: int) -> None:
    """Rows, mean, variance and median norm of every sample, from each prompt read on its own."""
    world, (position, pick) = tiny_world(family), POSITIONS[name]
    answers = [" Yes", " No, not at all", " It depends", " A", " Two, then three"]
    prompts = world.prompts
    if name in ("mean_response", "mean_prompt"):
        prompts = [world.renderer.render(t, a) for t, a in zip(world.texts, answers, strict=True)]
    flow = alone(world, "resid_mid", prompts)
    wanted = torch.cat([pick(p, h) for p, h in zip(prompts, flow, strict=True)], dim=1).transpose(0, 1)
    got = read(world, position, "resid_mid", prompts=prompts, batch_size=batch_size)
    assert got.n == len(wanted) and got.rows is not None and got.variance is not None
    torch.testing.assert_close(got.rows.double(), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.mean, wanted.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(got.variance, wanted.var(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got.median_norm, wanted.norm(dim=-1).quantile(0.5, dim=0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", CASES)
def test_every_stream_of_every_family(tiny_world: Callable[..., World], family: str) -> None:
    """In batches of two, means over the user's own tokens equal those of single prompts."""
    world = tiny_world(family)
    arch = world.opened.arch
    for stream in arch.streams:
        columns = arch.head_slice(2) if stream == "head" else slice(None)
        flow = alone(world, stream, world.prompts)
        rows = [h[:, p.content[0] : p.content[1], columns].mean(1) for p, h in zip(world.prompts, flow, strict=True)]
        got = capture(
            world.session,
            world.prompts,
            Position("mean_content"),
            Stream(stream, (1, 2)) if stream == "head" else Stream(stream),
            LAYERS,
            batch_size=2,
        )
        assert got.mean.shape == (3, arch.width(stream)) and got.rows is None
        torch.testing.assert_close(got.mean, torch.stack(rows).mean(0), atol=2e-5, rtol=0)


def test_streams_add_up(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("gemma2")
    flow = {s: read(world, stream=s, layers=[1]).mean for s in world.opened.arch.streams if s != "head"}
    torch.testing.assert_close(flow["resid_pre"] + flow["attn_out"], flow["resid_mid"], atol=1e-5, rtol=0)
    torch.testing.assert_close(flow["resid_mid"] + flow["mlp_out"], flow["resid_post"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["mean_prompt", "all", "last_token"])
def test_padding_never_enters_a_statistic(tiny_world: Callable[..., World], name: str) -> None:
    """Whatever stands at the pad tokens of the layer that is read, nothing changes."""
    world = tiny_world("llama")
    _, mask = left_padded(sorted(world.ids, key=len, reverse=True))
    poison = torch.where(mask[..., None], 0.0, float("nan"))
    arch = world.opened.arch.read("resid_post", 2)

    def spoil(h: Tensor, step: object, real: Tensor | None, memory: dict[str, object]) -> Tensor:
        return h + poison

    touch = {
        "path": arch.module,
        "side": arch.side,
        "factor": 1.0,
        "edits": [spoil],
        "stash": None,
        "plus": None,
        "late": [],
    }
    clean, spoilt = (read(world, Position(name), layers=[2], touches=t) for t in ((), [touch]))
    assert torch.equal(clean.mean, spoilt.mean) and torch.equal(clean.median_norm, spoilt.median_norm)
    assert clean.variance is not None and spoilt.variance is not None
    assert torch.equal(clean.variance, spoilt.variance)


@pytest.mark.parametrize("stream", ["resid_pre", "resid_mid", "resid_post", "mlp_norm_out", "head"])
def test_activations_after_edits(tiny_world: Callable[..., World], stream: str) -> None:
    """The edits reach what is read at their own site, before it and after it in the model."""
    world = tiny_world("llama")
    line = "add h by 3 on head(1, 2); ablate v[50%] everywhere; add v by 1 at layer 100% on resid_post"
    ids, mask = left_padded(world.ids)
    for layer in LAYERS:
        (wanted,), _ = world.steered(line).read(ids, mask, [(stream, layer)])
        part = world.opened.arch.head_slice(2) if stream == "head" else slice(None)
        given = Stream(stream, (layer, 2)) if stream == "head" else Stream(stream)
        touches = world.touches(line)
        got = capture(world.session, world.prompts, LAST, given, [layer], rows=True, touches=touches).rows
        assert got is not None
        torch.testing.assert_close(got[:, 0], wanted[:, -1, part], atol=2e-5, rtol=0)


def streamed(rows: Tensor, size: int) -> Activations:
    moments: dict[str, Any] = {}
    for part in rows.split(size, dim=1):
        take(moments, part, False)
    return result(moments)


def test_statistics_do_not_depend_on_the_batch_size() -> None:
    """Of the same activations, to 1e-10: a large mean is where naive sums of squares fail."""
    draw = torch.Generator().manual_seed(0)
    classes = [
        torch.randn(2, n, 16, generator=draw, dtype=torch.float64) + shift for n, shift in ((500, 1e4), (300, 9e3))
    ]
    whole = [streamed(rows, 500) for rows in classes]
    diffmean = find("extract", "diffmean").run
    for size in (1, 7, 64):
        parts = [streamed(rows, size) for rows in classes]
        for got, wanted in zip(parts, whole, strict=True):
            torch.testing.assert_close(got.mean, wanted.mean, rtol=1e-10, atol=0)
            torch.testing.assert_close(got.variance, wanted.variance, rtol=1e-10, atol=0)
            assert torch.equal(got.median_norm, wanted.median_norm)
        got, wanted = diffmean(*parts), diffmean(*whole)
        torch.testing.assert_close(got.raw_norm, wanted.raw_norm, rtol=1e-10, atol=0)
        torch.testing.assert_close(got.unit, wanted.unit, rtol=0, atol=1e-7)


def test_moments_are_numpys() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 40, 8)) * rng.uniform(0.1, 50, size=(3, 1, 8)) + rng.normal(size=(3, 1, 8)) * 100
    moments: dict[str, Any] = {}
    for start, stop in ((0, 1), (1, 18), (18, 40)):
        take(moments, torch.from_numpy(x[:, start:stop]), True)
    order = torch.from_numpy(rng.permutation(40))
    got = result(moments, order)
    assert got.n == 40 and got.variance is not None and got.rows is not None
    np.testing.assert_allclose(got.mean, x.mean(1), rtol=1e-12)
    np.testing.assert_allclose(got.variance, x.var(1, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(got.median_norm, np.median(np.linalg.norm(x, axis=-1), axis=1), rtol=1e-12)
    unsorted = np.empty_like(x.transpose(1, 0, 2))
    unsorted[order] = x.transpose(1, 0, 2)
    np.testing.assert_array_equal(got.rows, unsorted.astype(np.float32))


def test_one_sample_has_no_variance() -> None:
    moments: dict[str, Any] = {}
    take(moments, torch.ones(2, 1, 4, dtype=torch.float64), False)
    assert result(moments).variance is None
