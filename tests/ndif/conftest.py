"""Starts the real server for the tests of this folder, and runs the command line against it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import server as ndif
from calling import Call, calls
from nnsight.schema.config import CONFIG

from steerdsl.models.cache import cache_root
from steerdsl.models.catalog import locate


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    """The server, with the default model in float32; one that runs already is used, and left running."""
    if not ndif.installed():
        pytest.skip(f"no NDIF server is installed here; `{ndif.COMMAND}` installs one and runs these tests")
    mine = not ndif.serves()
    if mine:
        ndif.start()
    yield
    if mine:
        ndif.stop()


@pytest.fixture
def steerdsl(server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Call `steerdsl WORDS…` in an empty folder, with a store of its own and the server's address and
    key; gives exit code, standard output, standard error."""
    locate(None)
    cache, work = tmp_path / "cache", tmp_path / "work"
    work.mkdir()
    cache.mkdir()
    for name in ("models", "hashes"):
        (cache / name).symlink_to(cache_root() / name)
    monkeypatch.chdir(work)
    monkeypatch.setattr(CONFIG.API, "APIKEY", None)  # what nnsight has read from the tester's own settings
    settings = {"STEERDSL_CACHE": str(cache), "NDIF_HOST": ndif.URL, "NDIF_API_KEY": ndif.KEY}
    for name, value in {**settings, "STEERDSL_TRACEBACK": "1", "COLUMNS": "140"}.items():
        monkeypatch.setenv(name, value)
    return calls(monkeypatch, capfd)
