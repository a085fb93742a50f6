"""A tiny model with a recipe's steers made ready, and what a run of the engine answers alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_folder

from steerdsl.engine.generate import generate
from steerdsl.engine.steer_compiler import compile_steer
from steerdsl.lang.source import Source
from steerdsl.models.prompts import Rendered
from steerdsl.pipeline import recipe_to_plan, text_to_recipe
from steerdsl.planning.plan import RunOptions
from steerdsl.planning.requests import Sampling
from steerdsl.serving.batcher import Batcher
from steerdsl.serving.steers import Steers, ready

RECIPE = """
param strength = 2
dataset a = econ with take: 8, held_out: 50%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
other = extract diffmean from b vs a at mean_content
steer pushed { add topic by strength at layer 1 }
steer erased { ablate topic[1] everywhere }
steer turned { rotate plane(topic[1], pc1) by 90deg }
steer asked { add topic by 3 at layer 2 when cos(other) > 0 at layer 1 }
steer held { clamp topic to 3 at layer 1 on mlp_out }
"""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def steers(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Steers:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEERDSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        checked, found = text_to_recipe(Source("recipe.steer", RECIPE), tiny_model)
        assert checked is not None, found
        options = RunOptions(model=str(tiny_model), dtype="float32", device="cpu")
        return ready(recipe_to_plan(checked, options, fetch=True))


@pytest.fixture
def batcher(steers: Steers) -> Iterator[Batcher]:
    made = Batcher(steers.session(), lambda width: 64)
    yield made
    made.close()
    assert not made.alive


def alone(steers: Steers, prompt: Rendered, steer: str | None, tokens: int, **sampling: Any) -> list[Sequence[int]]:
    """The tokens of each answer to one prompt, as a run makes them that asks for nothing else."""
    ops = steers.run.steers[steer].ops if steer else ()
    touches = compile_steer(ops, steers.run.plan.model.arch, steers.run.values)
    (made,) = generate(steers.session(), [prompt], touches, Sampling(tokens, **sampling), 64)
    return [answer.token_ids for answer in made]
