"""Packs: one form of bytes, read back as they were, and every malicious one refused with one message."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from packs import RECIPE, RECORD, TEXT, info, manifest, members, written, zipped

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.share import pack as packs
from steerdsl.share.archive import zip_bytes
from steerdsl.share.members import unsafe_name
from steerdsl.share.pack import pack_bytes, read_pack, unpack

WRONG = "error[R866]: x.steerpack is refused: `run/record.json` has a wrong form:"
PICKLE = pickle.dumps({"direction": [1.0]})


def refused(folder: Path, data: bytes) -> str:
    """The one message that these bytes give, with its exit code."""
    with pytest.raises(RecipeError) as caught:
        read_pack(written(folder, data))
    (diagnostic,) = caught.value.diagnostics
    return render(diagnostic) + f"exit {caught.value.exit_code}"


# ---- right ones ----


def test_a_pack_is_read_back_and_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    made = members(**{"recipe/data/économie.jsonl": b'{"prompt": "a"}\n', "run/plots/a b.png": b"\x89PNG\r\n\x1a\n"})
    pack = read_pack(written(tmp_path, pack_bytes(RECIPE, made)))
    assert dict(pack.members) == made and pack.recipe == RECIPE
    home = unpack(pack)
    found = {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert found == made
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o111 == 0 for path in home.rglob("*") if path.is_file())
    (home / "recipe" / RECIPE).write_text("edition 2")
    assert unpack(pack) == home and (home / "recipe" / RECIPE).read_text() == TEXT


class Interrupted(dict[str, bytes]):
    """Members between the first two of which something else happens, once."""

    def __init__(self, found: Mapping[str, bytes], happens: Callable[[], None]) -> None:
        super().__init__(found)
        self.happens = [happens]

    def items(self) -> Iterator[tuple[str, bytes]]:  # type: ignore[override]
        first, *others = super().items()
        yield first
        while self.happens:
            self.happens.pop()()
        yield from others


@pytest.mark.parametrize("changed", [False, True])
def test_two_processes_unpack_one_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bool) -> None:
    """The recipe of the quicker one stays where it is while the slower one ends."""
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    pack = read_pack(written(tmp_path, pack_bytes(RECIPE, members())))
    if changed:
        (unpack(pack) / "recipe" / RECIPE).write_text("edition 2")
    opened: list[int] = []

    def quicker() -> None:
        opened.append(os.open(unpack(pack) / "recipe", os.O_RDONLY))

    home = unpack(replace(pack, members=Interrupted(pack.members, quicker)))
    [folder] = opened
    assert sorted(os.listdir(folder)) == [RECIPE, f"{RECIPE}.lock"]
    os.close(folder)
    found = {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert found == pack.members and [path.name for path in home.parent.iterdir()] == [home.name]


def test_the_same_members_give_the_same_bytes_in_any_order() -> None:
    made = members()
    backwards = dict(reversed(made.items()))
    assert pack_bytes(RECIPE, made) == pack_bytes(RECIPE, backwards)


def test_other_programs_read_the_zip(tmp_path: Path) -> None:
    made = members(**{"recipe/ü.txt": b"\xc3\xbc"})
    with zipfile.ZipFile(written(tmp_path, pack_bytes(RECIPE, made))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"} == made
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {i.external_attr >> 16 for i in archive.infolist()} == {0o100644}


# ---- names ----

NAMES = {
    "recipe/../../x.txt": "it leads out of its folder",
    "/etc/x.txt": "it is an absolute path",
    "C:/x.txt": "it is an absolute path",
    "recipe\\..\\x.txt": "it has characters that file names may not have",
    "recipe//x.txt": "it has an empty part",
    "recipe/folder/": "it has an empty part",
    "./recipe/x.txt": "it has an empty part",
    "recipe/NUL.txt": "it is the name of a device",
    "recipe/com1/x.txt": "it is the name of a device",
    "recipe/x.txt.": "a part of it ends in a dot or a space",
    "recipe/\u202etxt.steer": "it has characters that file names may not have",
    "recipe/a\nb.txt": "it has characters that file names may not have",
    "recipe/x.txt:hidden": "it has characters that file names may not have",
    "recipe/e\u0301.txt": "its letters are not in the composed form",
    "recipe/" + "x" * 200: "it is too long",
    "elsewhere/x.txt": "it is not in a folder of the pack",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_unsafe(tmp_path: Path, name: str) -> None:
    data = zip_bytes({"manifest.json": manifest(members(**{name: b"x"})), **members(**{name: b"x"})})
    assert refused(tmp_path, data) == (
        f"error[R867]: x.steerpack is refused: the name {name!a} is refused: {NAMES[name]}\n"
        "help: get the pack again from its author; nothing was unpacked\nexit 1"
    )


@pytest.mark.parametrize("name", ["recipe/data/econ.jsonl", "run/vectors/topic-1.safetensors", "recipe/経済 (1).csv"])
def test_a_name_that_is_safe(name: str) -> None:
    assert unsafe_name(name) is None


def test_a_name_that_goes_on_behind_a_null(tmp_path: Path) -> None:
    data = zipped(members(**{"recipe/xxx.txt": b"x"})).replace(b"recipe/xxx.txt", b"recipe/x\0x.txt")
    assert "[R867]: x.steerpack is refused: the name 'recipe/x\\x00x.txt' is refused: it has characters" in refused(
        tmp_path, data
    )


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    data = zip_bytes({"manifest.json": manifest(members()), **members(**{"recipe/é.txt": b"x"})})
    assert "error[R866]: x.steerpack is refused: it cannot be read as a zip" in refused(
        tmp_path, data.replace("é".encode(), b"\xc3\x28")
    )


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        ("recipe/x.txt", "recipe/x.txt", "another member has it too"),
        ("recipe/x.txt", "recipe/X.TXT", "another member has it too"),
        ("recipe/x.txt", "recipe/\uff58.txt", "another member has it too"),
        ("recipe/x.txt", "recipe/x.txt/y.txt", "a part of it is another member"),
    ],
)
def test_two_names_that_are_one_file(tmp_path: Path, first: str, second: str, problem: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Python's writer warns of a repeated name
        data = zipped(members(), (info(first), b"x"), (info(second), b"y"))
    assert f"error[R867]: x.steerpack is refused: the name {second!a} is refused: {problem}\n" in refused(
        tmp_path, data
    )


@pytest.mark.parametrize(
    ("mode", "problem"),
    [(0o120777, "it is a link"), (0o010644, "it is not a regular file"), (0o060644, "it is not a regular file")],
)
def test_a_member_that_is_no_file(tmp_path: Path, mode: int, problem: str) -> None:
    data = zipped(members(), (info("recipe/x.txt", mode), b"/etc/passwd"))
    assert f"error[R867]: x.steerpack is refused: the name 'recipe/x.txt' is refused: {problem}\n" in refused(
        tmp_path, data
    )


# ---- sizes ----


def test_a_bomb(tmp_path: Path) -> None:
    data = zipped(members(), (info("recipe/x.txt", compressed=True), bytes(10_000_000)))
    assert len(data) < 20_000
    assert refused(tmp_path, data).startswith(
        "error[R868]: x.steerpack is refused: `recipe/x.txt` is compressed, and the members of a pack are stored\n"
    )


def test_members_that_overlap(tmp_path: Path) -> None:
    """Nine entries of the index that are one stretch of the file."""
    data = zip_bytes({"manifest.json": manifest(members()), "recipe/0.txt": b"x" * 5000})
    body, index = data[: data.index(b"PK\x01\x02")], data[data.rindex(b"PK\x01\x02") : -22]
    entries = [data[len(body) : -22], *(index.replace(b"/0", b"/%d" % i) for i in range(1, 9))]
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 10, 10, sum(map(len, entries)), len(body), 0)
    assert refused(tmp_path, body + b"".join(entries) + end).startswith(
        "error[R868]: x.steerpack is refused: its members overlap: they are larger than the file\n"
    )


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = pack_bytes(RECIPE, members())
    big = b" " * (packs.LARGEST_MANIFEST + 1)
    assert "error[R868]: x.steerpack is refused: its manifest is too large" in refused(
        tmp_path, zipped(members(), first=big)
    )
    monkeypatch.setattr(packs, "MOST_MEMBERS", 5)
    assert "error[R868]: x.steerpack is refused: it has 6 members, and a pack has at most 5" in refused(tmp_path, right)
    monkeypatch.setattr(packs, "LARGEST", 100)
    assert f"error[R868]: x.steerpack is refused: it has {len(right)} bytes" in refused(tmp_path, right)


def test_encrypted(tmp_path: Path) -> None:
    data = bytearray(zipped(members(), (info("recipe/x.txt"), b"x")))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        local = archive.getinfo("recipe/x.txt").header_offset
    data[local + 6] |= 1
    data[data.rindex(b"recipe/x.txt") - 46 + 8] |= 1
    assert "error[R868]: x.steerpack is refused: `recipe/x.txt` is encrypted\n" in refused(tmp_path, bytes(data))


# ---- what is no pack ----


def test_other_files(tmp_path: Path) -> None:
    right = pack_bytes(RECIPE, members())
    for data in (b"", b"\x7fELF" + bytes(100), PICKLE, right[:-30], right[: len(right) // 2], b"PK\x03\x04"):
        assert refused(tmp_path, data).startswith("error[R866]: x.steerpack is refused: it cannot be read as a zip")
    missing = read_message(tmp_path / "none.steerpack")
    assert missing == "error[R866]: none.steerpack is refused: there is no such file\nhelp: check the path\n"


def read_message(path: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        read_pack(path)
    return "".join(map(render, caught.value.diagnostics))


@pytest.mark.parametrize(
    "changed",
    [
        lambda data: b"#!/bin/sh\n" + data,
        lambda data: data + b"more",
        lambda data: data[:-2] + b"\x04\x00more",
        lambda data: data.replace(b'recipe/one.steer.lock{"pins"', b'recipe/two.steer.lock{"pins"'),
        lambda data: data.replace(b"\x21\x00", b"\x22\x00", 1),
    ],
    ids=["before", "after", "comment", "another local name", "a date"],
)
def test_bytes_that_are_not_of_the_one_form(tmp_path: Path, changed: object) -> None:
    assert callable(changed)
    right = pack_bytes(RECIPE, members())
    assert changed(right) != right
    assert refused(tmp_path, changed(right)).startswith("error[R866]: x.steerpack is refused: it")


def test_a_zip_by_another_program_is_no_pack(tmp_path: Path) -> None:
    assert "error[R866]: x.steerpack is refused: its bytes are not those that a pack of these files has" in refused(
        tmp_path, zipped(members())
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{", "`manifest.json` is not JSON: expecting"),
        (b"\xff\xfe", "`manifest.json` is not UTF-8 at byte 0"),
        (b"[" * 100_000, "`manifest.json` is nested too deeply"),
        (b"[]", "`manifest.json` has a wrong form: it is a list, not an object"),
        (b"{}", "`manifest.json` has a wrong form: `format` is missing"),
        (b'{"format": "zip"}', "`manifest.json` has a wrong form: `format` is not steerpack"),
        (b'{"format": "\\ud800"}', "`manifest.json` has half of a character"),
        (manifest(members(), version=2), "its version is 2, and this program reads 1"),
        (
            manifest(members(), recipe="../../x.steer"),
            "`manifest.json` has a wrong form: `recipe` is not the name",
        ),
        (manifest(members(), members=[]), "`manifest.json` has a wrong form: `members` is a list, not an object"),
        (manifest(members(), recipe="two.steer"), "`recipe/two.steer` is missing"),
    ],
)
def test_a_manifest_that_is_wrong(tmp_path: Path, text: bytes, problem: str) -> None:
    assert refused(tmp_path, zipped(members(), first=text)).startswith(
        f"error[R866]: x.steerpack is refused: {problem}"
    )


def test_a_manifest_that_is_not_first_or_not_there(tmp_path: Path) -> None:
    made = members()
    for data in (zip_bytes({**made, "manifest.json": manifest(made)}), zip_bytes(made), zip_bytes({})):
        assert "error[R866]: x.steerpack is refused: its first member is not `manifest.json`" in refused(tmp_path, data)


# ---- what is not what the manifest says ----


def test_members_that_are_not_the_manifests(tmp_path: Path) -> None:
    made = members()
    other = {**made, f"recipe/{RECIPE}": b"edition 1\n"}
    cases = {
        "`recipe/one.steer` is not what the manifest says": zipped(other, first=manifest(made)),
        "`recipe/x.txt` is in the pack and not in the manifest": zipped(
            {**made, "recipe/x.txt": b""}, first=manifest(made)
        ),
        "`recipe/x.txt` is in the manifest and not in the pack": zipped(
            made, first=manifest({**made, "recipe/x.txt": b""})
        ),
    }
    for problem, data in cases.items():
        assert refused(tmp_path, data) == (
            f"error[R869]: x.steerpack is refused: {problem}\n"
            "help: get the pack again from its author; nothing was unpacked\nexit 4"
        )


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, f"{WRONG} `schema` is missing"),
        ([1], f"{WRONG} it is a list, not an object"),
        (
            {**RECORD, "run": {**RECORD["run"], "set": [1]}},
            f"{WRONG} `run.set[0]` is a whole number, not text",
        ),
        (
            {**RECORD, "run": {**RECORD["run"], "batch_size": "many"}},
            f"{WRONG} `run.batch_size` is not text like auto",
        ),
        (
            {**RECORD, "recipe": {**RECORD["recipe"], "sha256": "0" * 64}},
            "error[R869]: x.steerpack is refused: its record is that of another recipe",
        ),
    ],
)
def test_a_record_that_is_wrong(tmp_path: Path, record: object, message: str) -> None:
    data = pack_bytes(RECIPE, members(**{"run/record.json": json.dumps(record).encode()}))
    assert refused(tmp_path, data).startswith(message)


# ---- what can run ----


def nested() -> bytes:
    """A checkpoint as torch writes it: a zip with a pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", PICKLE)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("run/vectors/topic.pt", nested(), "`.pt` is not a kind of file that a pack can hold"),
        ("run/vectors/topic.pkl", PICKLE, "`.pkl` is not a kind of file that a pack can hold"),
        ("recipe/more.zip", nested(), "`.zip` is not a kind of file that a pack can hold"),
        ("recipe/setup.py", b"import os\n", "`.py` is not a kind of file that a pack can hold"),
        ("recipe/Makefile", b"all:\n", "`Makefile` is not a kind of file that a pack can hold"),
        ("run/vectors/topic.safetensors", nested(), "it is not what its ending .safetensors says"),
        ("run/vectors/a.safetensors", PICKLE, "it is not what its ending .safetensors says"),
        ("run/vectors/b.safetensors", b"\xff" * 8 + b"{}", "it is not what its ending .safetensors says"),
        ("recipe/topic.gguf", nested(), "it is not what its ending .gguf says"),
        ("recipe/data.json", PICKLE, "it is not what its ending .json says"),
        ("recipe/data.jsonl", b"a\0b", "it is not what its ending .jsonl says"),
        ("run/plots/a.png", b"<svg/>", "it is not what its ending .png says"),
    ],
)
def test_what_can_run_or_is_not_what_it_says(tmp_path: Path, name: str, data: bytes, problem: str) -> None:
    assert refused(tmp_path, pack_bytes(RECIPE, members(**{name: data}))).startswith(
        f"error[R870]: x.steerpack is refused: `{name}`: {problem}\n"
    )


def test_nothing_of_a_refused_pack_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    refused(tmp_path, pack_bytes(RECIPE, members(**{"recipe/x.pkl": PICKLE})))
    assert [path.name for path in tmp_path.iterdir()] == ["x.steerpack"]
