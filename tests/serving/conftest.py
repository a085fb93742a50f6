"""A tiny model with a recipe's steers made ready, and a batcher for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import RECIPE
from tiny import tiny_folder

from steerdsl.lang.source import Source
from steerdsl.pipeline import recipe_to_plan, text_to_recipe
from steerdsl.planning.plan import RunOptions
from steerdsl.serving.batcher import Batcher
from steerdsl.serving.steers import Steers, ready


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
