"""The store: whole results or none, whatever happens while one is written."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from steerdsl.forms.text import read_lines
from steerdsl.methods.types import Activations, Directions, Vector
from steerdsl.store.files import write_lines, write_text
from steerdsl.store.results import Store, content_key
from steerdsl.store.vector_files import load_activations, load_vector, save_activations, save_vector

KEY = content_key({"op": "test"})


def filler(text: str, size: int = 1):  # type: ignore[no-untyped-def]
    def write(folder: Path) -> None:
        (folder / "a.txt").write_text(text * size)
        (folder / "b.txt").write_text(text[::-1] * size)

    return write


def test_a_result_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.get(KEY) is None and not store.has(KEY)
    store.put(KEY, {"kind": "text"}, filler("abc"))
    assert store.has(KEY)
    assert (store.get(KEY) / "a.txt").read_text() == "abc"  # type: ignore[operator]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "a.txt").write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        Store(tmp_path).put(KEY, {}, broken)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("damage", ["truncate", "change", "remove", "meta"])
def test_a_damaged_result_is_found_told_and_made_again(tmp_path: Path, damage: str) -> None:
    told: list[Path] = []
    store = Store(tmp_path, told.append)
    folder = store.put(KEY, {}, filler("abc"))
    match damage:
        case "truncate":
            (folder / "a.txt").write_text("ab")
        case "change":
            (folder / "a.txt").write_text("abd")
        case "remove":
            (folder / "a.txt").unlink()
        case "meta":
            (folder / "meta.json").write_text("{")
    assert store.get(KEY) is None
    assert told == [folder / ("meta.json" if damage == "meta" else "a.txt")]
    assert (store.put(KEY, {}, filler("abc")) / "a.txt").read_text() == "abc"


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, {}, filler("one"))
    assert (store.put(KEY, {}, filler("two")) / "a.txt").read_text() == "one"
    assert len(list((tmp_path / KEY[:2]).iterdir())) == 1


def _write_forever(root: str) -> None:
    store, number = Store(Path(root)), 0
    while True:
        store.put(content_key({"n": number % 50}), {}, filler(f"{number % 50},", 20_000))
        number += 1


def test_a_writer_that_is_killed_leaves_no_half_result(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    for _ in range(5):
        worker = fork.Process(target=_write_forever, args=(str(tmp_path),))
        worker.start()
        end = time.monotonic() + 60
        while not any(tmp_path.rglob("meta.json")) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.03)  # so that it is in the midst of another
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    store, found = Store(tmp_path), 0
    for n in range(50):
        key = content_key({"n": n})
        if store.folder(key).exists():
            folder = store.get(key)
            assert folder is not None and (folder / "a.txt").read_text() == f"{n}," * 20_000
            found += 1
    assert found > 0


def test_a_vector_file_keeps_everything(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize(torch.randn(3, 2, 8, generator=g), dim=-1)
    directions = Directions(
        unit, torch.rand(3, 2, generator=g, dtype=torch.float64), unit + 1, torch.randn(3, 8, generator=g), {"k": [1.5]}
    )
    vector = Vector("v", directions, torch.tensor([4, 7, 9]), "attn_out", unit[:, 0], unit[:, 1], {"method": "leace"})
    save_vector(vector, tmp_path / "v.safetensors")
    back = load_vector(tmp_path / "v.safetensors")
    for field in ("unit", "raw_norm", "reader", "offset"):
        assert torch.equal(getattr(back.directions, field), getattr(directions, field)), field
    assert back.layers.tolist() == [4, 7, 9] and back.stream == "attn_out" and back.name == "v"
    assert back.directions.figures == {"k": [1.5]} and back.meta == {"method": "leace"}
    assert torch.equal(back.mean_positive, unit[:, 0])  # type: ignore[arg-type]


def test_activations_come_back(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    a = Activations(
        4, torch.randn(2, 8, generator=g), None, torch.rand(2, generator=g), torch.randn(4, 2, 8, generator=g)
    )
    save_activations(a, tmp_path / "a")
    b = load_activations(tmp_path / "a")
    assert b.n == 4 and b.variance is None and torch.equal(a.rows, b.rows)  # type: ignore[arg-type]


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_text(path, "old")
    write_lines(path, [{"a": "ü"}, [1]])
    assert read_lines(path) == [{"a": "ü"}, [1]] and path.read_text() == '{"a": "ü"}\n[1]\n'
    assert list(tmp_path.iterdir()) == [path]
