"""A run of a tiny model with a sweep, and the server that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from looking import RECIPE, Looking, opener
from tiny import tiny_folder

import steerdsl
from steerdsl.viewing.shelf import Shelf


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the run `mine` and its recipe beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEERDSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("runs")
        recipe = folder / "mine.steer"
        recipe.write_text(RECIPE)
        steerdsl.run(recipe, model=str(tiny_model), dtype="float32", device="cpu", out=folder / "mine")
        yield folder


@pytest.fixture(scope="session")
def looking(runs: Path, tiny_model: Path) -> Iterator[Looking]:
    made = Looking(Shelf([runs, runs / "mine.steer"]), opener(tiny_model))
    yield made
    made.close()
