"""Puts this folder on the import path, and builds each tiny model once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from tiny import tiny, tiny_folder
from world import World

from steerdsl.models.catalog import locate
from steerdsl.models.device import DTYPES
from steerdsl.models.opened import open_model

TEXTS = (
    "Explain inflation to me",
    "Hi",
    "What is the price of bread today, and why?",
    "Who?",
    "Name two good books",
)
# Tied embeddings, or a seed, with which a random model says one token for ever: nothing would show.
LIVELY: dict[str, dict[str, Any]] = {
    **{family: {"tie_word_embeddings": False} for family in ("gemma2", "gemma3_text", "gemma3")},
    "gpt_neox_sequential": {"seed": 2},
}


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    """Gives the world of a case of `tiny`: float32 and local, or as asked; `more` changes its config."""

    @cache
    def world(family: str, dtype: str = "float32", on: str = "local", **more: Any) -> World:
        changes = {**LIVELY.get(family, {}), **more}
        opened = open_model(
            locate(str(tiny_folder(tmp_path_factory.mktemp(family), family, **changes))), dtype=dtype, device="cpu"
        )
        return World(opened, tiny(family, **changes).to(DTYPES[dtype]), family, TEXTS, on)

    return world
