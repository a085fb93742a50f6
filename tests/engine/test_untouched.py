"""What a steer must leave alone, bit for bit, and how far smaller number types may stray."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import STREAMS
from formulas import changed, compare, figure, number, unit
from hooks import Steered, left_padded
from torch import Tensor
from world import HALF, World

from steerdsl.engine.generate import generation_config
from steerdsl.planning.requests import Sampling

AT_ONE_PLACE = (
    "ablate v at layer 50%",
    "add v by 40% at layer 50%",
    "add v by 2 at layer 50% keep norm",
    "clamp v to {each proj(v)} at layer 50%",
    "cap v to {each proj(v)} at layer 50%",
    "rotate p by 150deg at layer 50%",
    "rotate p to 60deg at layer 50%",
)
GATED = {
    "ablate v at layer 50% when proj(v) > {each proj(v)}": "resid_post",
    "add v by 2 at layer 50% when cos(u) < {each cos(u)} keep norm": "resid_post",
    "rotate p by 150deg at layer 50% adaptive": "resid_post",
    "add mid by 2 at layer 50% on resid_mid when proj(mid) > {each proj(mid)}": "resid_mid",
}
ALL_OVER = (
    "ablate v[50%] everywhere",
    "add v by 60%",
    "rotate p to 60deg on resid_mid",
    "add h by 3 on head(0, 1), head(2, 3)",
    "clamp mnorm to 3 on mlp_norm_out keep norm",
    'patch from "Why?" on resid_pre with align: start',
    "ablate v when cos(v) > {cos(v)} at layer 50%",
)


def flows(world: World, line: str, where: list[tuple[str, int]], mask: Tensor | None = None) -> Tensor:
    """What the engine reads in one batch of all prompts under a steer (none: the empty line)."""
    ids, real = left_padded(world.ids)
    given = {"input_ids": ids, "attention_mask": real.long()}
    sites = [world.opened.arch.read(stream, layer) for stream, layer in where]
    reads = [site.tap for site in sites]
    touches = world.touches(line) if line else []
    return world.session.capture(given, reads, None, False, real if mask is None else mask, touches)


def by_row(world: World, h: Tensor) -> tuple[Tensor, ...]:
    return h.split([len(ids) for ids in world.ids], dim=1)


@pytest.mark.parametrize("order", [">", "<="])
def test_each_row_decides_for_itself(tiny_world: Callable[..., World], order: str) -> None:
    """A row that does not meet the condition keeps its bits, whatever shares its batch."""
    world = tiny_world("llama")
    line = f"add v by 2 at layer 100% when cos(v) {order} {{cos(v)}} at layer 50%"
    (op,) = world.ops(line)
    last, half = world.n_layers - 1, number(HALF, world.n_layers)
    means = torch.stack([h.mean(0) for h in world.flow["resid_post", half].split([len(i) for i in world.ids])])
    value = figure(op, op.conditions[0], means, half, world.n_layers, world.material)
    met = compare(value, order, op.conditions[0].threshold).tolist()
    assert 2 <= sum(met) < len(met)
    before, after = (by_row(world, flows(world, text, [("resid_post", last)])) for text in ("", line))
    assert [not torch.equal(a, b) for a, b in zip(before, after, strict=True)] == met
    tokens, plain = world.engine_tokens(line, 4, 8), world.engine_tokens("", 4, 8)
    assert all(met[i] or tokens[i] == plain[i] for i in range(len(met))) and tokens != plain


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("line", GATED)
def test_tokens_that_do_not_meet_a_condition_keep_their_bits(
    tiny_world: Callable[..., World], line: str, dtype: str
) -> None:
    """Nor does attention's own output lose any, through which resid_mid is written."""
    world = tiny_world("llama", dtype)
    (op,) = world.ops(line)
    half = number(HALF, world.n_layers)
    where = [("attn_out", half), (GATED[line], half)]
    (attn_before, before), (attn_after, after) = (flows(world, text, where) for text in ("", line))
    (condition,) = op.conditions
    value = figure(op, condition, before, half, world.n_layers, world.material)
    met = compare(value, condition.op, condition.threshold)
    assert 10 < int(met.sum()) < len(met) - 10
    assert torch.equal(before[~met], after[~met]) and torch.equal(attn_before[~met], attn_after[~met])
    assert bool((before[met] != after[met]).any(dim=-1).all())


def test_other_heads_keep_their_bits(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("llama")
    width = world.opened.arch.d_head
    before, after = (flows(world, text, [("head", 1)])[0] for text in ("", "add h by 3 on head(1, 2)"))
    same = (before == after).all(dim=0).view(-1, width).all(dim=1)
    assert same.tolist() == [True, True, False, True]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("line", ALL_OVER)
def test_nothing_happens_at_pad_tokens(tiny_world: Callable[..., World], line: str, dtype: str) -> None:
    world = tiny_world("llama", dtype)
    _, real = left_padded(world.ids)
    everything = torch.ones_like(real)
    where = [("resid_post", layer) for layer in range(world.n_layers)]
    before, after = (flows(world, text, where, everything).unflatten(1, real.shape) for text in ("", line))
    assert torch.equal(before[:, ~real], after[:, ~real])
    assert not torch.equal(before[:, real], after[:, real])


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize(
    "line",
    [
        "add v by 2 during generation",
        "ablate v[50%] everywhere during generation",
        "rotate p to 210deg on resid_mid after 0",
        "add h by 3 on head(0, 1) keep norm during generation",
        "ablate v when cos(v) > {cos(v)} at layer 50% during generation",
        "add v by 2 when step >= 1",
    ],
)
def test_generation_alone_leaves_the_prompts_logits(tiny_world: Callable[..., World], family: str, line: str) -> None:
    world = tiny_world(family)
    ids, mask = left_padded(world.ids)
    config = generation_config(world.opened, Sampling(3))
    config.output_logits = config.return_dict_in_generate = True
    given = {"input_ids": ids, "attention_mask": mask.long()}
    before, after = (world.session.generate(given, t, 3, config)[0].logits for t in ([], world.touches(line)))
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1], atol=1e-2)


@pytest.mark.parametrize(("dtype", "stored"), [("float32", 1e-6), ("float16", 2.0**-10), ("bfloat16", 2.0**-7)])
@pytest.mark.parametrize("line", AT_ONE_PLACE)
def test_edits_are_exact_but_for_storing_them(
    tiny_world: Callable[..., World], line: str, dtype: str, stored: float
) -> None:
    """Against float64 arithmetic on the very activations that the edit saw, relative to their norm."""
    world = tiny_world("llama", dtype)
    (op,) = world.ops(line)
    half = number(HALF, world.n_layers)
    before, after = (flows(world, text, [("resid_post", half)])[0] for text in ("", line))
    wanted = changed(op, before, half, world.n_layers, world.material)
    if op.keep_norm:
        wanted = wanted * before.norm(dim=-1, keepdim=True) / wanted.norm(dim=-1, keepdim=True)
    size = torch.maximum(before.norm(dim=-1), wanted.norm(dim=-1))
    assert float(((after - wanted).norm(dim=-1) / size).max()) < stored


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 2e-4), ("bfloat16", 1e-3)])
@pytest.mark.parametrize("name", [name for name in STREAMS if name != "h"])
def test_what_ablation_leaves(tiny_world: Callable[..., World], name: str, dtype: str, tolerance: float) -> None:
    """The component that is left after an ablation, as a share of what it was; rounding averages
    out over the width, so the model is as wide as a small real one."""
    world = tiny_world("llama", dtype, hidden_size=512)
    half = number(HALF, world.n_layers)
    direction, stream = unit(world.material.raw[name][half, 0]), STREAMS[name]
    before, after = (
        flows(world, text, [(stream, half)])[0] for text in ("", f"ablate {name} at layer 50% on {stream}")
    )
    assert float((after @ direction).norm() / (before @ direction).norm()) < tolerance


def test_unsteered_passes_are_transformers_own(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("gpt2")
    ids, mask = left_padded(world.ids)
    _, wanted = Steered(world.model, "gpt2").read(ids, mask)
    given = {"input_ids": ids, "attention_mask": mask.long()}
    got = world.session.logits(given, [], 0, lambda logits: logits)
    assert torch.equal(got[mask], wanted[mask])
