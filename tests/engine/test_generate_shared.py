"""Steers as rows of one batch: the tokens of each are those that it gives alone, and those of hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from cases import PATCH
from world import World

from steerdsl.engine.batch_edits import Acting, acting, compile_rows
from steerdsl.engine.generate import answer, generate, rows_of
from steerdsl.engine.steer_compiler import compile_steer
from steerdsl.models.batching import batches, pad_id
from steerdsl.planning.requests import Sampling

TOKENS = 6
ANGLES = ("0deg", "90deg", "180deg", "295deg")
GATED = "add v by {} at layer 100% when cos(v) > {{cos(v)}} at layer 50%"
# What the points of a sweep say, by what differs; those of one shape share every edit.
SHARED = {
    "angles": [f"rotate p to {a}" for a in ANGLES],
    "angles, relative, at some layers": [f"rotate p by {a} at layers 0%..50%" for a in ANGLES],
    "angles, adaptive": [f"rotate p to {a} at layer 50% adaptive" for a in ANGLES],
    "angles, keeping norms, on another stream": [f"rotate p by {a} on mlp_out keep norm" for a in ANGLES],
    "strengths": [f"add v by {s} at layer 50%" for s in (-2, 0, 1.5, 3)],
    "strengths as shares": [f"add v by {s}% at layer 50% keep norm" for s in (-60, 0, 40)],
    "strengths of both units": [f"add v by {s} at layer 50%" for s in ("1.5", "40%", "-60%")],
    "strengths on resid_mid": [f"add mid by {s} at layer 50% on resid_mid" for s in (0, 1, 2)],
    "shares of an ablation": [f"ablate two by {s}% everywhere" for s in (0, 50, 100)],
    "shares of an oblique ablation": [f"ablate slanted by {s}% at layer 50%" for s in (50, 100)],
    "alphas": [f"ablate v toward mean(generic) with alpha: {a} at layer 50%" for a in (0, 0.7, 1.4)],
    "coordinates of a head": [f"clamp h to {c} on head(1, 0), head(1, 1)" for c in (-1, 2, 5)],
    "caps": [f"cap v to {c} at layer 50% during generation" for c in (-1, 0)],
    "conditions of tokens": [f"add v by {s} when proj(v) > {{each proj(v)}}" for s in (1, 2)],
    "conditions of prompts": [GATED.format(s) for s in (1, 2, -2)],
    "two operations": [
        f"ablate v at layer 50%; add v by {s} first 3; rotate p by {a}" for s, a in ((1, ANGLES[1]), (2, ANGLES[3]))
    ],
}
APART = {
    "layers": [f"add v by 2 at layer {d}%" for d in (0, 50, 100)],
    "growing sets of layers": [f"ablate v at layers 0%..{d}%" for d in (0, 50, 100)],
    "streams": [f"add v by 2 at layer 50% on {s}" for s in ("attn_out", "resid_mid", "mlp_out", "resid_pre")],
    "vectors": [f"add {v} by 2 at layer 50%" for v in ("v", "u", "v - 0.5 * u")],
    "conditions": [
        GATED.format(2),
        "add v by 2 at layer 100% when cos(v) < {cos(v)} at layer 50%",
        "add v by 2 at layer 100%",
        "add v by 2 at layer 50% when proj(mid) > {proj(mid)} at layer 50%; " + GATED.format(1),
    ],
    "times": [
        f"add v by 2 at layer 50% {t}" for t in ("during prompt", "during generation", "first 2", "when step > 2")
    ],
    "kinds": [
        "ablate v[50%] everywhere",
        "add h by 3 on head(1, 2) keep norm",
        f'patch from "{PATCH}" at layer 50%',
        'patch from "Why?" at layer 50% with align: start',
        "clamp v to 2 at layer 50%",
        "add mid by 2 at layer 50% on resid_mid; ablate att on attn_out",
    ],
}
# One of its modules flattens its tokens; another scales its embeddings and its attention's scores.
OTHERS = ("angles, keeping norms, on another stream", "conditions of prompts", "two operations", "streams", "kinds")
ROWS = [("llama", name) for name in (*SHARED, *APART)] + [(f, name) for f in ("opt", "gemma2") for name in OTHERS]


def together(world: World, steers: Sequence[Acting | None], size: int = 3) -> list[list[list[int]]]:
    """The tokens of each steer's answer to each prompt; `size` prompts a batch, the last one smaller."""
    found: list[list[list[int]]] = [[[] for _ in world.prompts] for _ in steers]
    rows = rows_of(world.prompts, Sampling(TOKENS))
    for batch in batches(world.prompts, size, pad_id(world.opened.tokenizer)):
        asked = [(number, i) for number in range(len(steers)) for i in batch.index]
        touches = compile_rows([steers[number] for number, _ in asked], world.opened.arch)
        made = answer(world.session, [rows[i][0] for _, i in asked], touches)
        for (number, i), a in zip(asked, made, strict=True):
            found[number][i] = list(a.token_ids)
    return found


def steers_of(world: World, lines: Sequence[str]) -> list[Acting]:
    return [acting(world.ops(line), world.values, None, {}) for line in lines]


@pytest.mark.parametrize(("family", "name"), ROWS)
def test_tokens_are_those_of_each_steer_alone(tiny_world: Callable[..., World], family: str, name: str) -> None:
    lines = {**SHARED, **APART}[name]
    world = tiny_world(family)
    steers = steers_of(world, lines)
    assert len({steer.shape for steer in steers}) == (1 if name in SHARED else len(lines))
    found = together(world, steers)
    for line, tokens in zip(lines, found, strict=True):
        assert tokens == world.hooks_tokens(line, TOKENS) == world.engine_tokens(line, TOKENS, batch_size=5), line
    if family == "llama":
        assert len({str(tokens) for tokens in found}) > 1, "points that are all alike show nothing"


def test_two_axes(tiny_world: Callable[..., World]) -> None:
    """Angles within layers: a shape for each layer, with a number for each row."""
    world = tiny_world("llama")
    lines = [f"rotate p to {angle} at layer {depth}%" for depth in (0, 50, 100) for angle in ANGLES]
    steers = steers_of(world, lines)
    assert len({steer.shape for steer in steers}) == 3
    assert together(world, steers) == [world.hooks_tokens(line, TOKENS) for line in lines]


def test_random_controls_beside_their_steers(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("llama")
    lines = [f"add v by {s} at layer 50%" for s in (1, 2)]
    steers = [acting(world.ops(line), world.values, seed, {}) for seed in (None, 0) for line in lines]
    found = together(world, steers)
    for tokens, steer in zip(found, steers, strict=True):
        touches = compile_steer(steer.ops, world.opened.arch, world.values, steer.control)
        alone = [a for batch in generate(world.session, world.prompts, touches, Sampling(TOKENS), 5) for a in batch]
        assert tokens == [list(a.token_ids) for a in sorted(alone, key=lambda a: a.prompt)]
    assert found[0] != found[2] and found[1] != found[3]


@pytest.mark.parametrize("name", ["angles", "conditions of prompts", "kinds"])
def test_the_rehearsal_of_the_remote_path(tiny_world: Callable[..., World], name: str) -> None:
    lines = {**SHARED, **APART}[name]
    local, simulated = (tiny_world("gemma2", on=on) for on in ("local", "simulate"))
    assert together(local, steers_of(local, lines)) == together(simulated, steers_of(simulated, lines))
