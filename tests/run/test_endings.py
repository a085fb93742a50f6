"""However a run ends, it leaves a record that says how far it got."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from steerdsl.engine.tracing import Session
from steerdsl.store import folder_locks
from steerdsl.store.directory import RESERVED, RunDirectory

ROOT = Path(__file__).parents[2]
PLOTTED = """
dataset a = econ with take: 6
dataset b = generic with take: 6
v = extract diffmean from a vs b
plot pca(v)
"""
TEXT = """
dataset a = econ with take: 4, held_out: 0%
dataset b = generic with take: 4, held_out: 0%
topic = extract diffmean from a vs b at mean_content
one = generate from a with max_tokens: 2
two = generate from b with max_tokens: 2
"""


def record(folder: str = "r") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "record.json").read_text())
    return found


def answers(folder: str = "r") -> int:
    return len((Path(folder) / "generations.jsonl").read_text().splitlines())


def at_second_answers(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Do something when the answers of the second `generate` are about to be made: those of the first, which
    is answered together with it, took two batches."""
    plain, seen = Session.generate, []

    def generate(self: Session, *given: Any) -> Any:
        seen.append(0)
        if len(seen) == 3:
            act()
        return plain(self, *given)

    monkeypatch.setattr(Session, "generate", generate)


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


ENDS = {
    "disk": (raising(OSError(errno.ENOSPC, "No space left on device")), "R815", "no space left on device"),
    "quota": (raising(OSError(errno.EDQUOT, "Disk quota exceeded")), "R815", "disk quota exceeded"),
    "memory": (raising(MemoryError()), "R816", "there was not enough memory"),
    "torch's memory": (lambda: torch.empty(2**56, dtype=torch.uint8), "R816", "there was not enough memory"),
    "a GPU's memory": (raising(torch.OutOfMemoryError("CUDA out of memory. Tried …")), "R850", "memory"),
    "a file": (raising(PermissionError(errno.EACCES, "Permission denied", "/a/b")), "R817", "/a/b: permission denied"),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_the_machine_refuses_is_told_and_recorded(
    on_tiny: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    act, code, words = ENDS[name]
    at_second_answers(monkeypatch, act)
    exit_code, _, err = on_tiny("run", "-e", TEXT, "--out", "r", "--quiet")
    assert exit_code == 3 and f"error[{code}]: " in err and words in err and "bug" not in err
    found = record()
    assert (found["state"], found["reached"]) == ("failed", "step 2, generate one") and words in found["error"]
    assert answers() == 4 and Path("r/vectors/topic.safetensors").is_file()


def test_a_bug_leaves_a_record_too(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at_second_answers(monkeypatch, raising(IndexError("list index out of range")))
    monkeypatch.delenv("STEERDSL_TRACEBACK")
    code, _, err = on_tiny("run", "-e", TEXT, "--out", "r", "--quiet")
    assert code == 3 and "this is a bug in steerdsl: IndexError" in err and "record in r" in err
    assert record()["error"] == "a bug in steerdsl: IndexError: list index out of range" and answers() == 4


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("times", [1, 3])
def test_signals(tiny_model: Path, tmp_path: Path, name: str, times: int) -> None:
    """Sent from within, so that the moment is known; the later ones come while the record is written."""
    script = f"""
import os, signal, sys
from steerdsl.running import finish
from steerdsl.cli.main import main
from steerdsl.engine.tracing import Session
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has it ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)
plain, seen, write = Session.generate, [], finish.write_record
def generate(self, *given):
    seen.append(0)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.{name})
    return plain(self, *given)
def slow(*given, **more):
    for _ in range({times} - 1):
        os.kill(os.getpid(), signal.{name})
    return write(*given, **more)
Session.generate, finish.write_record = generate, slow
sys.argv = ["steerdsl", "run", "x.steer", "--model", {str(tiny_model)!r}, "--dtype", "float32", "--out", "r", "-q"]
main()
"""
    (tmp_path / "x.steer").write_text(TEXT)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "STEERDSL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("the record is being written") == times - 1
    found = record(str(tmp_path / "r"))
    assert (found["state"], found["reached"]) == ("interrupted", "step 2, generate one")
    assert found["error"] == f"stopped by {name}" and answers(str(tmp_path / "r")) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    from steerdsl.running.ending import listening

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listening():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("streams", ["both", "none"])
def test_a_reader_that_goes_away_and_streams_that_are_closed(tiny_model: Path, tmp_path: Path, streams: str) -> None:
    (tmp_path / "x.steer").write_text(TEXT)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "STEERDSL_CACHE": str(tmp_path / "cache")}
    words = f"{sys.executable} -m steerdsl.cli.main run x.steer --model {tiny_model} --dtype float32 --out r"
    end = {"both": "2>&1 | head -1", "none": "<&- >&- 2>&-"}[streams]
    done = subprocess.run(
        ["bash", "-c", f"{words} {end}"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    found = record(str(tmp_path / "r"))
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    if streams == "none":
        assert found["state"] == "complete"
    else:
        assert found["state"] in ("interrupted", "complete")  # head may be slower than the run
        assert found["state"] == "complete" or "output can no longer be written" in found["error"]


def test_a_stream_that_fails_is_left_alone() -> None:
    from steerdsl.running.ending import Heard, Stopped, heard, require_heard

    with heard():
        print("heard")
        require_heard()
    full = Heard(open("/dev/full", "w", buffering=1))  # noqa: SIM115
    assert full.write("x\n") == 2 and full.lost == "its output can no longer be written: no space left on device"
    full.flush()
    closed = Heard(open(os.devnull, "w"))  # noqa: SIM115
    closed.stream.close()
    closed.write("x")
    assert "closed file" in closed.lost and issubclass(Stopped, KeyboardInterrupt)


def test_a_full_disk_leaves_vectors_out_and_the_record_in(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try to write the record fails; the second does without what takes room."""
    from steerdsl.running import finish

    plain, tries = finish.write_record, []

    def full(*given: Any, **more: Any) -> None:
        tries.append(more["answers"])
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(*given, **more)

    monkeypatch.setattr(finish, "write_record", full)
    code, _, err = on_tiny("run", "-e", TEXT, "--out", "r", "--quiet")
    assert (code, tries) == (0, [True, False]) and "vectors and plots were left out" in err
    assert record()["state"] == "complete" and answers() == 8 and not Path("r/vectors").exists()


@pytest.mark.parametrize(
    "error", [ValueError("max() arg"), KeyError("x"), RuntimeError(), OSError("no"), MemoryError()]
)
def test_no_picture_costs_the_record(on_tiny: Any, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whatever goes wrong after the first of its two files: none is left, a warning says it, the run is whole."""
    from steerdsl.show import drawing

    def half(what: str, view: Any, options: Any, first: Path, *others: Path) -> None:
        first.write_bytes(b"half")
        raise error

    monkeypatch.setattr(drawing, "draw", half)
    code, _, err = on_tiny("run", "-e", PLOTTED, "--out", "r")
    record = json.loads(Path("r/record.json").read_text())
    assert code == 0 and record["state"] == "complete"
    assert not list(Path("r/plots").iterdir())
    (warning,) = [line for line in record["warnings"] if "was not drawn" in line]
    assert ("this is a bug in steerdsl" in warning) == (not isinstance(error, OSError | MemoryError))
    assert warning in " ".join(err.split()) and not warning.endswith(": ")


def test_a_record_that_cannot_be_written_is_told(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from steerdsl.running import finish

    def full(*given: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(finish, "write_record", full)
    code, _, err = on_tiny("run", "-e", TEXT, "--out", "r", "--quiet")
    (left,) = Path().glob("r.*.partial")
    told = f"there is no record: the results so far are in the store and in {left}"
    assert code == 3 and "error[R815]" in err and told in err
    assert len((left / "generations.jsonl").read_text().splitlines()) == 8


def test_room_for_the_record_is_reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = RunDirectory.create(Path("r"), force=False)
    (reserve,) = made.fresh.iterdir()
    assert reserve.stat().st_blocks * 512 >= RESERVED  # no hole
    made.keep([{"text": "one"}])
    before = (made.fresh / "generations.jsonl").read_bytes()
    (made.fresh / "record.json").write_text("{}")
    made.finish()
    assert sorted(p.name for p in Path("r").iterdir()) == ["generations.jsonl", "record.json"]
    assert (Path("r") / "generations.jsonl").read_bytes() == before


@pytest.mark.parametrize("cache", ["/proc/none", "/dev/null/none"])
def test_a_cache_that_cannot_be_written_is_told_before_anything_runs(
    on_tiny: Any, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", cache)
    code, _, err = on_tiny("run", "-e", TEXT, "--out", "r", "--quiet")
    assert code == 3 and "error[M616]: the cache cannot be written" in err and not list(Path().glob("r*"))


def test_a_damaged_result_that_cannot_be_removed(on_tiny: Any, steerdsl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_tiny("run", "-e", TEXT, "--out", "r", "--quiet")[0] == 0
    vector = next(Path("../cache/store").glob("*/*/vector.safetensors"))
    vector.write_bytes(b"")
    monkeypatch.setattr(folder_locks, "discard", lambda folder: False)
    code, out, _ = steerdsl("store", "verify", "--repair")
    assert code == 4 and "damaged, and cannot be removed: vector" in out and "1 damaged" in out
    assert "cannot be changed: make it writable" in out
    code, out, _ = steerdsl("store", "verify", "--repair", "--json")
    assert code == 4 and json.loads(out)["damaged"][0]["removed"] is False
    monkeypatch.undo()


@pytest.mark.parametrize("command", ["check", "fmt", "run", "plan"])
def test_a_closed_standard_input(steerdsl: Any, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = steerdsl(command, "-")
    assert code == 2 and "standard input is closed" in err


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_terminal_that_lacks_the_letters(tmp_path: Path, locale: str) -> None:
    (tmp_path / "x.steer").write_text('dataset a = "ä数.txt"\nx = 数\n', encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = [sys.executable, "-m", "steerdsl.cli.main", "check", "x.steer"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "bug" not in done.stderr and "\\u6570" in done.stdout
