"""Steers as rows of one batch on the real default model, in float32."""

from __future__ import annotations

import pytest
from default import default_model
from test_generate_shared import together
from transformers import AutoModelForCausalLM
from world import World

from steerdsl.engine.batch_edits import acting
from steerdsl.models.opened import open_model

TEXTS = (
    "How does a central bank lower inflation?",
    "Hi!",
    "Explain how an increase in consumer confidence impacts aggregate demand and overall economic performance.",
    "Name three birds.",
)
SWEEPS = {
    "angles": [f"rotate plane(v[50%], u[50%]) to {angle}deg" for angle in range(0, 360, 30)],
    "angles and layers": [f"rotate p by {a}deg at layer {d}% adaptive" for d in (25, 50, 75) for a in (60, 180)],
    "shares": [f"add v by {share}% at layers 40%..60%" for share in (-30, 0, 10, 30)],
    "unlike": [
        "ablate v[50%] everywhere",
        "add v by 30% at layers 40%..60% when cos(v) > {cos(v)} at layer 50%; ablate h on head(0, 1), head(2, 3)",
        "cap mid to {each proj(mid)} at layer 50% on resid_mid first 3",
    ],
}


@pytest.fixture(scope="module")
def world() -> World:
    located = default_model()
    model = AutoModelForCausalLM.from_pretrained(located.path, dtype="float32").eval()
    return World(open_model(located, dtype="float32", device="cpu"), model, "llama", TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_tokens_are_those_of_each_steer_alone(world: World, name: str) -> None:
    lines = SWEEPS[name]
    found = together(world, [acting(world.ops(line), world.values, None, {}) for line in lines], size=4)
    assert found == [world.engine_tokens(line, 6, batch_size=4) for line in lines]
    assert found == [world.hooks_tokens(line, 6) for line in lines]
