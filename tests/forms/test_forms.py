"""The door itself: bytes with limits, strict JSON, forms, and bounds on what runs."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerdsl.forms.bounds import Overrun, bounded
from steerdsl.forms.files import Misread, is_inside, read_bytes
from steerdsl.forms.form import EACH, By, Either, Maybe, Such, misfit
from steerdsl.forms.text import DEEPEST, parse_json, parse_lines

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_all_that_json_says_is_read_as_json_reads_it(value: Any) -> None:
    text = json.dumps(value)
    assert parse_json(text.encode()) == json.loads(text) == value
    assert parse_lines(f"{text}\n\n{text}".encode()) == [value, value]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "x.json is not JSON: expecting value at line 1, column 1"),
        (b'{"a": 1,\n}', "x.json is not JSON: .* at line 2, column 1"),
        (b"\xff", "x.json is not UTF-8 at byte 0"),
        (b"[" * 100_000, "x.json is nested too deeply"),
        (b"[" * 61 + b"]" * 61, "x.json is nested more than 60 deep"),
        (b"[1e999]", "x.json has a number that is beyond what a float holds"),
        (b"[-Infinity]", "x.json has a number that is -Infinity"),
        (b"[NaN]", "x.json has a number that is NaN"),
        (b"9" * 5000, "x.json has a number that is beyond 64 bits"),
        (b"9223372036854775808", "x.json has a number that is beyond 64 bits"),
        (b"0." + b"1" * 5000, "x.json has a number that is beyond what a float holds"),
        (b'"\\ud800"', "x.json has half of a character"),
        (b'{"\\uDC00x": 1}', "x.json has half of a character"),
        (b"[" + b"[]," * 2_000_000 + b"[]]", "x.json has more than 2,000,000 lists and objects"),
    ],
)
def test_what_cannot_be_used_is_not_read(text: bytes, problem: str) -> None:
    with pytest.raises(Misread, match=f"^{problem}"):
        parse_json(text, name="x.json")


def test_what_is_just_right_is_read() -> None:
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST) is not None
    assert parse_json(b"-9223372036854775808") == -(2**63) and parse_json(b'"\\ud83d\\ude00"') == "😀"
    assert math.isnan(parse_json(b"[NaN]", finite=False)[0])


FORM = {
    **{"text": str, "number": float, "whole": int, "none": str | None, "few": range(1, 4)},
    "hash": re.compile("[0-9a-f]{4}"),
    **{"pair": (str, int), "list": [int], "maybe": Maybe(int), "either": Either(([str], None)), "named": {EACH: int}},
    "such": Such([int], lambda x: len(x) == 2, "two whole numbers"),
    "by": By(lambda value: str if value == "x" else int),
}  # fmt: skip
RIGHT = {
    **{"text": "", "number": 1, "whole": 0, "none": None, "few": 3, "hash": "00ff", "pair": ["", 1], "list": []},
    **{"either": None, "named": {}, "such": [1, 2], "by": "x", "unknown": object()},
}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, None),
        ({"maybe": 1, "either": ["x"], "by": 5, "named": {"x": 1}, "number": 2.5}, None),
        ({"text": None}, "`text` is null, not text"),
        ({"number": True}, "`number` is true or false, not a number"),
        ({"whole": 1.0}, "`whole` is a number, not a whole number"),
        ({"none": 1}, "`none` is a whole number, not text or null"),
        ({"few": 4}, "`few` is not a whole number from 1 to 3"),
        ({"few": True}, "`few` is true or false, not a whole number from 1 to 3"),
        ({"hash": "00fff"}, "`hash` is not text like [0-9a-f]{4}"),
        ({"pair": ["", 1, 2]}, "`pair` has 3 items, not 2"),
        ({"pair": ["", ""]}, "`pair[1]` is text, not a whole number"),
        ({"list": [1, 2, "x"]}, "`list[2]` is text, not a whole number"),
        ({"list": {}}, "`list` is an object, not a list"),
        ({"maybe": "x"}, "`maybe` is text, not a whole number"),
        ({"either": 5}, "`either` is a whole number, not a list or null"),
        ({"either": [5]}, "`either[0]` is a whole number, not text"),
        ({"named": {"a.b": "x"}}, "`named.a.b` is text, not a whole number"),
        ({"named": {"x" * 100: "x"}}, f"`named.{'x' * 24}…{'x' * 30}` is text, not a whole number"),
        ({"such": [1]}, "`such` is not two whole numbers"),
        ({"by": []}, "`by` is a list, not a whole number"),
    ],
)
def test_a_misfit_is_named_by_its_path(change: dict[str, Any], wrong: str | None) -> None:
    assert misfit({**RIGHT, **change}, FORM) == wrong


def test_a_missing_name_and_a_value_of_another_kind() -> None:
    assert misfit({k: v for k, v in RIGHT.items() if k != "whole"}, FORM) == "`whole` is missing"
    assert misfit([], FORM) == "it is a list, not an object"


def test_files_with_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(Misread, match=r"a\.json has 5 bytes, and at most 4 are read"):
        read_bytes(path, 4)
    with pytest.raises(Misread, match="a folder, not a file"):
        read_bytes(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Misread, match="pipe is a pipe, not a file"):
        read_bytes(tmp_path / "pipe")
    if Path("/dev/zero").exists():
        with pytest.raises(Misread, match="zero is a device, not a file"):
            read_bytes(Path("/dev/zero"))


def test_links_stay_inside(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    (inside / "sub").mkdir(parents=True), outside.mkdir()
    (outside / "x").write_bytes(b"secret"), (inside / "y").write_bytes(b"own")
    (inside / "link").symlink_to(outside / "x"), (inside / "sub" / "up").symlink_to("../y")
    (inside / "folder").symlink_to(outside), (inside / "loop").symlink_to("loop")
    assert read_bytes(inside / "sub" / "up", within=inside) == b"own"
    for name in ("link", "folder/x", "../out/x", "sub/../../out/x"):
        with pytest.raises(Misread, match="leads out of its folder"):
            read_bytes(inside / name, within=inside)
        assert not is_inside(inside / name, inside)
    assert not is_inside(inside / "loop", inside) and not is_inside(inside / "sub", inside)
    assert is_inside(inside / "y", inside)


def test_bounds_of_time_and_memory_end_with_what_they_bound() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with bounded(5, 1 << 30):
        assert sum(range(10)) == 45
    start = time.monotonic()
    with pytest.raises(Overrun, match=r"it takes more than 0\.1 seconds"), bounded(0.1, 1 << 30):
        while True:
            pass
    assert time.monotonic() - start < 5 and signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    with pytest.raises(Overrun, match="it takes more than 64 MB"), bounded(5, 64 << 20):
        bytearray(1 << 30)
    assert len(bytearray(1 << 28)) == 1 << 28


def test_another_thread_has_no_bounds_and_no_fault() -> None:
    found: list[int] = []

    def work() -> None:
        with bounded(1, 1 << 20):
            found.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1]
