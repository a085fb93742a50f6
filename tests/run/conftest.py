"""Runs the command line in this process, on a tiny model, with a cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from calling import Call, calls
from tiny import tiny_folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def steerdsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Call `steerdsl WORDS…` in an empty folder; gives exit code, standard output, standard error."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("STEERDSL_TRACEBACK", "1")
    return calls(monkeypatch, capfd)


@pytest.fixture
def on_tiny(steerdsl: Call, tiny_model: Path) -> Call:
    """`steerdsl COMMAND …` on the tiny model in float32 on the processor."""

    def call(command: str, *words: str) -> tuple[int, str, str]:
        return steerdsl(command, *words, "--model", str(tiny_model), "--dtype", "float32", "--device", "cpu")

    return call
