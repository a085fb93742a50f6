"""Puts this folder on the import path, and gives each test that asks for it a world of its own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and a hub at an address where nothing listens."""
    from huggingface_hub import constants

    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path
