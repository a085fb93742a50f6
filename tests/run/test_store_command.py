"""`steerdsl store` on what a run has left."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

SMALL = """
dataset a = econ with take: 8, seed: 1
dataset b = generic with take: 8, seed: 1
topic = extract diffmean from a vs b at mean_content
steer less { ablate topic at layers 1..2 }
out = generate from a with steer: less, max_tokens: 4
"""
KINDS = {"activations": 2, "vector": 1, "answers": 1, "run": 1}


@pytest.fixture
def ran(on_tiny: Any, steerdsl: Any) -> Any:
    assert on_tiny("run", "-e", SMALL, "--out", "r", "-q")[0] == 0
    return steerdsl


def test_an_empty_store(steerdsl: Any) -> None:
    assert steerdsl("store") == (0, "the store is empty\n", "")
    assert steerdsl("store", "list", "--json") == (0, "[]\n", "")
    assert steerdsl("store", "prune", "--all")[1] == "pruned 0 results, 0 bytes; 0 bytes left\n"
    assert steerdsl("store", "verify")[1] == "0 whole results, 0 damaged\n"


def test_list_and_size(ran: Any, tmp_path: Path) -> None:
    rows = json.loads(ran("store", "list", "--json")[1])
    assert {kind: sum(row["kind"] == kind for row in rows) for kind in KINDS} == KINDS
    assert len(rows) == sum(KINDS.values())
    (vector,) = (row for row in rows if row["kind"] == "vector")
    assert vector["about"] == {"name": "topic", "method": "diffmean"}
    assert vector["bytes"] == sum(p.stat().st_size for p in Path(vector["path"]).iterdir())
    text = ran("store")[1]
    assert "diffmean, topic" in text and vector["key"][:12] in text
    assert text.splitlines()[-1].startswith("5 results, ") and text.splitlines()[-1].endswith("/cache/store")
    assert len(json.loads(ran("store", "list", "--kind", "activations", "--json")[1])) == 2
    assert ran("store", "--kind", "cake")[1] == "the store has nothing of this kind\n"
    size = json.loads(ran("store", "size", "--json")[1])
    assert size["results"] == 5 and size["bytes"] == sum(row["bytes"] for row in rows)
    assert size["kinds"]["vector"] == {"results": 1, "bytes": vector["bytes"]}
    assert "  vector (1)" in ran("store", "size")[1]


def test_prune(ran: Any, on_tiny: Any) -> None:
    rows = json.loads(ran("store", "list", "--json")[1])
    old = next(row for row in rows if row["kind"] == "vector")
    os.utime(old["path"], (0, time.time() - 40 * 24 * 3600))
    assert ran("store", "prune", "--older-than", "50d")[1].startswith("pruned 0 results")
    said = ran("store", "prune", "--older-than", "30d", "--dry-run")[1]
    assert "diffmean, topic" in said and "would prune 1 result, " in said and Path(old["path"]).exists()
    told = json.loads(ran("store", "prune", "--older-than", "30d", "--json")[1])
    assert [row["key"] for row in told["pruned"]] == [old["key"]] and not Path(old["path"]).exists()
    # The run makes again what is missing, and takes the rest.
    assert on_tiny("run", "-e", SMALL, "--out", "again", "-q")[0] == 0
    assert Path("again/generations.jsonl").read_bytes() == Path("r/generations.jsonl").read_bytes()
    assert len(json.loads(ran("store", "list", "--json")[1])) == 5
    assert ran("store", "prune", "--max-size", "1GB")[1].startswith("pruned 0 results, 0 bytes; ")
    assert ran("store", "prune", "--all", "--kind", "activations")[1].startswith("pruned 2 results, ")
    assert ran("store", "prune", "--max-size", "0 kb")[1].endswith("; 0 bytes left\n")


def test_verify(ran: Any, tmp_path: Path) -> None:
    assert ran("store", "verify") == (0, "5 whole results, 0 damaged\n", "")
    store = tmp_path / "cache" / "store"
    (path,) = store.rglob("vector.safetensors")
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-3])
    (store / "ab").mkdir(exist_ok=True)
    (store / "ab" / ".new-0123").mkdir()
    code, out, _ = ran("store", "verify")
    key = path.parent.name[:12]
    assert code == 4 and out == (
        f"damaged: vector {key}: vector.safetensors has {size - 3} of {size} bytes\n"
        "removed 1 folder of stopped runs\n"
        "4 whole results, 1 damaged\n"
        "`steerdsl store verify --repair` removes what is damaged; a run makes it again\n"
    )
    code, out, _ = ran("store", "verify", "--repair", "--json")
    told = json.loads(out)
    assert code == 0 and told["whole"] == 4 and told["repaired"] and told["leftovers"] == 0
    assert [(row["file"], row["kind"]) for row in told["damaged"]] == [("vector.safetensors", "vector")]
    assert ran("store", "verify") == (0, "4 whole results, 0 damaged\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["drop"], "`drop` is not a store command; use list, size, prune or verify"),
        (["prune"], "say what to prune: --older-than 30d, --max-size 2GB or --all"),
        (["list", "--repair"], "`store list` has no --repair"),
        (["prune", "--older-than", "soon"], "`soon` is not a duration; try 90m, 12h, 30d or 8w"),
        (["prune", "--max-size", "2 cats"], "`2 cats` is not a size; try 500MB or 2GB"),
    ],
)
def test_refusals(steerdsl: Any, words: list[str], said: str) -> None:
    code, _, err = steerdsl("store", *words)
    assert code == 2 and said in " ".join(err.replace("│", " ").split())
