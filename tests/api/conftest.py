"""A tiny model and an empty folder to work in, with a cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from calling import Call, calls
from tiny import tiny_folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def steer_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """`steerdsl WORDS…` as a function."""
    return calls(monkeypatch, capfd)
