"""Keeping a store: listing, pruning and verifying it, beside processes that use it."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.store import folder_locks
from steerdsl.store.folder_locks import abandoned, claim, discard, release, remove_abandoned
from steerdsl.store.maintenance import damages, outdated, prune, stored, tidy
from steerdsl.store.results import Store, content_key

FORK = multiprocessing.get_context("fork")
DAY = 24 * 3600


def key(n: int) -> str:
    return content_key({"n": n})


def fill(n: int, size: int = 1):  # type: ignore[no-untyped-def]
    def write(folder: Path) -> None:
        (folder / "a.txt").write_text(f"{n}," * size)
        (folder / "b.txt").write_text(f"{n};" * size)

    return write


def read(folder: Path) -> str:
    return (folder / "a.txt").read_text() + (folder / "b.txt").read_text()


def test_a_list_tells_kind_size_and_last_use(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for n, kind in enumerate(("vector", "answers", "scores")):
        folder = store.put(key(n), {"kind": kind, "name": f"x{n}"}, fill(n, 1000))
        os.utime(folder, (0, 1000.0 + n))
    assert [(s.kind, s.used) for s in stored(tmp_path)] == [("scores", 1002.0), ("answers", 1001.0), ("vector", 1000.0)]
    found = stored(tmp_path)[0]
    assert found.about == {"name": "x2"} and found.bytes == 4000 + (found.folder / "meta.json").stat().st_size
    store.get(key(0))
    assert stored(tmp_path)[0].kind == "vector" and time.time() - stored(tmp_path)[0].used < 60


def test_what_is_outdated(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for n in range(4):
        folder = store.put(key(n), {"kind": "odds" if n % 2 else "even"}, fill(n, 500))
        os.utime(folder, (0, n * DAY))
    found, now = stored(tmp_path), 4 * DAY
    each = found[0].bytes

    def keys(**how: object) -> list[str]:
        return [s.key for s in outdated(found, now=now, **how)]  # type: ignore[arg-type]

    assert keys() == []
    assert keys(older_than=2 * DAY) == [key(0), key(1)]
    assert keys(older_than=0.0, kinds=["odds"]) == [key(1), key(3)]
    assert keys(max_size=4 * each) == [] and keys(max_size=3 * each) == [key(0)]
    assert keys(max_size=0, kinds=["even"]) == [key(0), key(2)]
    assert keys(older_than=3 * DAY, max_size=2 * each) == [key(0), key(1)]
    assert keys(everything=True) == [key(n) for n in range(4)]


def test_what_was_used_since_it_was_listed_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for n in range(2):
        os.utime(store.put(key(n), {}, fill(n)), (0, 1.0))
    chosen = stored(tmp_path)
    assert store.get(key(1)) is not None
    assert [s.key for s in prune(chosen)] == [key(0)]
    assert store.get(key(0)) is None and store.get(key(1)) is not None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("truncate", "a.txt has 1 of 2 bytes"),
        ("change", "a.txt does not match its hash"),
        ("remove", "a.txt cannot be read"),
        ("meta", "meta.json does not describe a result"),
        ("other", "meta.json does not describe a result"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: str, said: str) -> None:
    folder = Store(tmp_path).put(key(0), {"kind": "x"}, fill(0))
    Store(tmp_path).put(key(1), {"kind": "x"}, fill(1))
    match damage:
        case "truncate":
            (folder / "a.txt").write_text("0")
        case "change":
            (folder / "a.txt").write_text("1,")
        case "remove":
            (folder / "a.txt").unlink()
        case "meta":
            (folder / "meta.json").write_text('{"files": 3}')
        case "other":
            folder.rename(folder.parent / "moved")
    assert [f"{d.path.name} {d.what}" for _, d in damages(tmp_path)] == [said]


def test_a_file_in_the_way_and_a_bad_description_are_no_crash(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.put(key(0), {}, fill(0))
    for text in (
        "[]",
        json.dumps({"files": {"a.txt": 1}, "key": key(0)}),
        json.dumps({"files": {"../x": {"bytes": 1, "sha256": ""}}, "key": key(0)}),
    ):
        (folder / "meta.json").write_text(text)
        assert not store.has(key(0))
        assert store.get(key(0)) is None and not folder.exists()
        store.put(key(0), {}, fill(0))
    (tmp_path / "ab").write_text("no folder")
    assert len(stored(tmp_path)) == 1 and list(damages(tmp_path)) == []


def test_a_result_removed_while_it_is_read_counts_as_absent(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(key(0), {}, fill(0))

    def slow(folder: Path) -> str:
        discard(folder)
        return read(folder)

    assert store.load(key(0), slow) is None
    store.put(key(0), {}, fill(0))
    with pytest.raises(ZeroDivisionError):  # while what is wrong with the reader is not hidden
        store.load(key(0), lambda folder: 1 // 0)


def test_what_was_just_made_is_returned_whoever_prunes(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def pruned(folder: Path) -> str:
        found = read(folder)
        prune(stored(tmp_path))
        return found

    assert store.save(key(0), {}, fill(0), pruned) == "0,0;"
    assert store.save(key(0), {}, fill(0), pruned) == "0,0;"


def test_a_full_or_closed_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / key(0)[:2]).write_text("a file where a folder should be")
    with pytest.raises(RecipeError) as caught:
        Store(tmp_path).put(key(0), {}, fill(0))
    assert caught.value.diagnostics[0].code == "M616"


def _hold(path: str, ready: str) -> None:
    claim(Path(path))
    Path(ready).touch()
    time.sleep(60)


def test_a_folder_is_abandoned_once_its_process_is_dead(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    worker = FORK.Process(target=_hold, args=(str(folder), str(tmp_path / "ready")))
    worker.start()
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    assert not abandoned(folder)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert abandoned(folder)
    assert not abandoned(tmp_path / "missing")
    held = claim(tmp_path / "y")
    (tmp_path / "y").rename(tmp_path / "z")
    assert not abandoned(tmp_path / "z")
    release(held)
    assert abandoned(tmp_path / "z")


def test_a_folder_that_is_removed_between_its_making_and_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The narrowest moment: made and not yet locked when somebody who tidies up finds that nobody holds it."""
    folder, made, found = tmp_path / "x", threading.Event(), threading.Event()
    lock, remove = folder_locks.fcntl.flock, shutil.rmtree

    def slow_lock(held: int, how: int) -> None:
        if how == folder_locks.fcntl.LOCK_SH and not found.is_set():
            made.set()
            assert found.wait(10)
        lock(held, how)

    def slow_remove(path: Path, ignore_errors: bool) -> None:
        found.set()
        time.sleep(0.1)  # in which the maker would lock it, were it not held
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(folder_locks.fcntl, "flock", slow_lock)
    monkeypatch.setattr(folder_locks.shutil, "rmtree", slow_remove)
    with ThreadPoolExecutor() as pool:
        maker = pool.submit(claim, folder)
        assert made.wait(10)
        remove_abandoned(folder)
        held = maker.result(10)
    assert folder.is_dir() and not abandoned(folder)
    release(held)


def _use(root: str, seed: int, stop: str, said: str) -> None:
    """Make and read results until there is a file `stop`; write what went wrong."""
    import random

    chance = random.Random(seed)
    store, wrong = Store(Path(root), lambda path: Path(f"{said}.damaged").touch()), ""
    try:
        while not Path(stop).exists():
            n = chance.randrange(8)
            expected = f"{n}," * 5000 + f"{n};" * 5000
            found = store.load(key(n), read)
            if found is None:
                found = store.save(key(n), {"kind": "x"}, fill(n, 5000), read)
            if found != expected:
                wrong = f"{n}: {found[:20]}"
    except BaseException as error:
        wrong = repr(error)
    Path(said).write_text(wrong or "ok")


def test_many_use_one_store_while_it_is_pruned_and_they_are_killed(tmp_path: Path) -> None:
    """Four users stay whole while everything is pruned under them, and others are killed at any moment."""
    root, stop = tmp_path / "store", tmp_path / "stop"
    said = [tmp_path / f"said{i}" for i in range(4)]
    users = [
        FORK.Process(target=_use, args=(str(root), i, str(stop), str(path)), daemon=True) for i, path in enumerate(said)
    ]
    for user in users:
        user.start()
    removed = killed = 0
    end = time.time() + 60
    while (removed < 50 or killed < 20) and time.time() < end:
        victim = FORK.Process(target=_use, args=(str(root), killed, str(stop), str(tmp_path / "victim")))
        victim.start()
        time.sleep(0.05)
        removed += len(prune(stored(root)))
        tidy(root)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        killed += 1
    stop.touch()
    for user in users:
        user.join()
    assert [path.read_text() for path in said] == ["ok"] * 4
    assert removed >= 50 and killed >= 20
    tidy(root)
    assert not [p for p in root.rglob(".*") if p.is_dir()]
    assert list(damages(root)) == [] and not list(tmp_path.glob("*.damaged"))
