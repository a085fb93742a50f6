"""The engine on the real default model: against plain PyTorch hooks and transformers' own states."""

from __future__ import annotations

import pytest
import torch
from cases import STREAMS, TABLE
from default import default_model
from formulas import number, unit
from hooks import left_padded
from transformers import AutoModelForCausalLM
from world import HALF, World

from steerdsl.engine.capture import capture
from steerdsl.lang.recipe import Position, Stream
from steerdsl.models.catalog import Located
from steerdsl.models.opened import open_model

TOKENS = 12
TEXTS = (
    "How does a central bank lower inflation?",
    "Hi!",
    "Explain how an increase in consumer confidence impacts aggregate demand and overall economic performance.",
    "Name three birds.",
    "Could you suggest a novel to read on a long train journey through the mountains in winter?",
    "What is a tariff?",
    "Why is the sky blue?",
    "Write two lines about rain.",
)
# Every kind of thing that can go wrong on a deep model, in as few generations as possible.
QUICK = (
    "ablate v[50%] everywhere",
    "add v by 30% at layers 40%..60% when cos(v) > {cos(v)} at layer 50%; ablate h on head(0, 1), head(2, 3);"
    " rotate p by 60deg at layer 75% adaptive during generation;"
    " cap mid to {each proj(mid)} at layer 50% on resid_mid first 3",
)


@pytest.fixture(scope="module")
def located() -> Located:
    return default_model()


def opened(located: Located, dtype: str) -> World:
    model = AutoModelForCausalLM.from_pretrained(located.path, dtype=dtype).eval()
    return World(open_model(located, dtype=dtype, device="cpu"), model, "llama", TEXTS)


@pytest.fixture(scope="module")
def world(located: Located) -> World:
    return opened(located, "float32")


def check(world: World, line: str) -> None:
    wanted = world.hooks_tokens(line, TOKENS)
    assert world.engine_tokens(line, TOKENS, batch_size=8) == wanted
    assert wanted != world.unsteered(TOKENS), "a steer that changes nothing shows nothing"


@pytest.mark.parametrize("line", QUICK)
def test_tokens_equal_hooks(world: World, line: str) -> None:
    check(world, line)


@pytest.mark.slow
@pytest.mark.parametrize("line", TABLE)
def test_the_whole_table(world: World, line: str) -> None:
    check(world, line)


def test_captures_equal_hidden_states(world: World) -> None:
    """The last tokens of one batch, bit for bit; the last hidden state is normed, and so another."""
    ids, mask = left_padded(sorted(world.ids, key=len, reverse=True))
    positions = (mask.long().cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        out = world.model.model(ids, attention_mask=mask.long(), position_ids=positions, output_hidden_states=True)
    wanted = torch.stack([h[:, -1] for h in out.hidden_states[1:-1]], dim=1)
    layers = range(world.n_layers - 1)
    got = capture(world.session, world.prompts, Position("last_token"), Stream("resid_post"), layers, rows=True).rows
    assert got is not None
    order = sorted(range(len(world.ids)), key=lambda i: -len(world.ids[i]))
    assert torch.equal(got[order], wanted)


@pytest.mark.slow
def test_what_ablation_leaves_in_bfloat16(located: Located) -> None:
    """Of a typical token's component, as a share; 3e-3 were the arithmetic in bfloat16 too. What is
    written to resid_mid is rounded twice, as what attention adds and as the sum."""
    world = opened(located, "bfloat16")
    ids, mask = left_padded(world.ids)
    half = number(HALF, world.n_layers)
    for name, stream in STREAMS.items():
        if stream == "head":
            continue
        touches = world.touches(f"ablate {name} at layer 50% on {stream}")
        before, after = (world.captured(ids, mask, [(stream, half)], t)[0] for t in ((), touches))
        direction = unit(world.material.raw[name][half, 0])
        left = (after @ direction).abs().median() / (before @ direction).abs().median()
        assert float(left) < (2e-3 if stream == "resid_mid" else 1e-3), stream
