"""Every value of every file that is read back, in every wrong type, to every command that reads it: a diagnostic
or a right answer, never a traceback."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import whole_records as records
from fuzz.harness import changed, command, places, without

from steerdsl.cli.lock import print_differences
from steerdsl.forms.kept import REPLY
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.share.archive import zip_bytes
from steerdsl.share.lock import read_lock
from steerdsl.share.pack import pack_bytes, read_pack
from steerdsl.share.pins import PinDifference, pins
from steerdsl.share.receipt import read_record
from steerdsl.store.results import Store

RELEASED = Path(__file__).parent / "released"
WRONG: tuple[Any, ...] = (None, True, -1, 2.5, "x", [], {}, [[]], {"x": {"x": []}}, "\x1b[2J")
# How one value may end: read as it is, or refused by one of these.
TURNS = cycle([itemgetter(i) for i in range(4)])
CODES = {"R880", "R881", "R882", "R863"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEERDSL_TRACEBACK", "1")
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wrongs(value: Any, every: int = 1) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each place with each value of another type, and the whole without it; of these one in `every`."""
    yield from islice(_wrongs(value), 0, None, every)


def _wrongs(value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for path in places(value):
        yield from ((path, changed(value, path, new)) for new in WRONG)
        if path:
            yield path, without(value, path)


def ended(call: Callable[[], Any], codes: set[str]) -> str:
    """How a call ended: `read`, or the code of its one diagnostic, which is one of `codes`."""
    sink = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    try:
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            call()
    except RecipeError as error:
        (found,) = error.diagnostics
        assert found.code in codes and found.help, found
        return found.code
    return "read"


def read_run(folder: str) -> None:
    """Everything that reads a run directory and runs nothing."""
    run = Path(folder)
    commands = [("show", folder), ("show", folder, "--json"), ("diff", folder, "good"), ("report", folder)]
    try:
        pins(read_record(run))
    except RecipeError:
        commands = [next(TURNS)(commands)]  # all of them have one door
    for words in commands:
        command(*words)


SOME, ALL = 7, 1  # one in seven at once, and each where there is time


@pytest.mark.parametrize("every", [SOME, pytest.param(ALL, marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", ["record.json", "scores.json", "generations.jsonl"])
def test_a_run_directory(here: Path, file: str, every: int) -> None:
    records.save(here / "good")
    whole = {
        "record.json": records.RECORD,
        "scores.json": records.SCORES,
        "generations.jsonl": records.ANSWERS[2:],
    }
    assert ended(lambda: read_run("good"), set()) == "read"
    counts: Counter[str] = Counter()
    for _, value in wrongs(whole[file], every):
        lines = isinstance(value, list) and file == "generations.jsonl"
        text = "\n".join(map(json.dumps, value)) if lines else json.dumps(value)
        records.save(here / "bad")
        (here / "bad" / file).write_text(text)
        counts[ended(lambda: read_run("bad"), CODES)] += 1
    # Most wrong types are refused, and what is only unusual is read.
    assert counts["R881"] > 0.6 * counts.total() and counts["read"] > 2


def test_a_run_of_the_released_version_is_read(here: Path) -> None:
    for name in ("released", "good"):
        shutil.copytree(RELEASED, here / name)
    assert ended(lambda: read_run("released"), set()) == "read"


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"schema":' * 50_000, b"{", b"\xff", b"9" * 5000, b'{"a":1e999}'])
@pytest.mark.parametrize("file", ["record.json", "scores.json", "generations.jsonl"])
def test_a_file_that_is_no_json(here: Path, file: str, text: bytes) -> None:
    records.save(here / "good")
    (records.save(here / "bad") / file).write_bytes(text)
    for words in (("show", "bad"), ("diff", "good", "bad"), ("report", "bad")):
        assert ended(lambda words=words: command(*words), {"R881"}) == "R881"  # type: ignore[misc]


@pytest.mark.parametrize("every", [SOME, pytest.param(ALL, marks=pytest.mark.slow)])
def test_a_pack(here: Path, every: int) -> None:
    made = {
        "recipe/one.steer": records.TEXT.encode(),
        "recipe/one.steer.lock": b'{"pins": {}, "schema": 1}\n',
        "run/generations.jsonl": "".join(json.dumps(row) + "\n" for row in records.ANSWERS).encode(),
        "run/record.json": json.dumps(records.RECORD).encode(),
        "run/scores.json": json.dumps(records.SCORES).encode(),
    }
    path = here / "one.steerpack"

    def refusal(data: bytes) -> str:
        path.write_bytes(data)
        card = ("push", str(path), "--repo", "a/b", "--dry-run")
        return ended(lambda: (read_pack(path), command(*card)), {"R866", "R867", "R868", "R869", "R870"})

    assert refusal(pack_bytes("one.steer", made)) == "read"
    counts: Counter[str] = Counter()
    for member, whole in (("run/record.json", records.RECORD), ("run/scores.json", records.SCORES)):
        for _, value in wrongs(whole, every):
            counts[refusal(pack_bytes("one.steer", {**made, member: json.dumps(value).encode()}))] += 1
    assert counts["R866"] > 0.6 * counts.total()
    whole_manifest = json.loads(manifest_of(pack_bytes("one.steer", made)))
    for _, value in wrongs(whole_manifest, every):
        assert refusal(zip_bytes({"manifest.json": json.dumps(value).encode(), **made})) != "read"


def manifest_of(data: bytes) -> bytes:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read("manifest.json")


def test_a_lock(here: Path) -> None:
    whole = {"schema": 1, "pins": {"recipe.sha256": "0", "model.n_layers": 3, "run.seed": None}}
    counts: Counter[str] = Counter()
    for _, value in wrongs(whole):
        (here / "one.steer.lock").write_text(json.dumps(value))
        counts[ended(lambda: read_lock(here / "one.steer.lock"), {"R861"})] += 1
    # Pins are single values of any type; all else is refused.
    assert counts["R861"] > 30 and counts["read"] > 10


def test_a_hundred_thousand_pins_are_told_in_short(here: Path) -> None:
    found = [PinDifference(f"params.p{i}", "1", None, "meaning") for i in range(100_000)]
    sink = io.StringIO()
    print_differences(found, "the lock", sink)
    assert sink.getvalue().endswith("and 99800 more pins\n") and sink.getvalue().count("\n") < 220


def test_a_result_of_the_store(here: Path) -> None:
    store = Store(here / "cache" / "store")
    key = hashlib.sha256(b"x").hexdigest()

    def write(fresh: Path) -> None:
        (fresh / "reply.json").write_text('{"reply": "x"}')

    result = store.put(key, {"kind": "judgement"}, write)
    whole = json.loads((result / "meta.json").read_text())
    counts: Counter[str] = Counter()
    for _, value in wrongs(whole):
        (store.put(key, {"kind": "judgement"}, write) / "meta.json").write_text(json.dumps(value))
        for words in (
            ("store", "list"),
            ("store", "list", "--json"),
            ("store", "size"),
            ("store", "verify", "--repair"),
        ):
            ended(lambda words=words: command(*words), set())  # type: ignore[misc]
        counts["kept" if store.get(key) else "removed"] += 1
    assert counts["removed"] > 0.5 * counts.total() and counts["kept"] > 0


@pytest.mark.parametrize("text", ["[]", '{"reply": 5}', "{", '{"reply": "\\ud800"}', "[" * 100_000])
def test_a_result_whose_hashes_match_and_that_says_nothing_is_made_again(here: Path, text: str) -> None:
    told: list[Path] = []
    store = Store(here / "store", told.append)
    key = hashlib.sha256(b"x").hexdigest()
    store.put(key, {"kind": "judgement"}, lambda fresh: (fresh / "reply.json").write_text(text) and None)
    read = lambda folder: read_json(folder / "reply.json", REPLY)["reply"]  # noqa: E731
    assert store.load(key, read) is None and told == [store.folder(key)] and not store.has(key)
    right = store.save(key, {}, lambda fresh: (fresh / "reply.json").write_text('{"reply": "x"}') and None, read)
    assert right == "x" == store.load(key, read)
