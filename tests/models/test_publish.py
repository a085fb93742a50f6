"""Publishing a pack and fetching it, with the real client and a stand-in of the hub; no real hub was reached."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import whole_records as records
from fakehub import TOKEN, serve

from steerdsl.cli.main import main
from steerdsl.share.pack import pack_bytes


def made() -> bytes:
    members = {
        "recipe/one.steer": records.TEXT.encode(),
        "recipe/one.steer.lock": b"{}",
        "run/record.json": json.dumps(records.RECORD).encode(),
        "run/generations.jsonl": b"",
        "run/scores.json": b"{}",
    }
    return pack_bytes("one.steer", members)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The hub's address and its folder: ada/several has two packs, ada/none has no pack, ada/bad a bad one."""
    folder = tmp_path_factory.mktemp("served")
    for name, files in {"several": ("a.steerpack", "b.steerpack"), "none": ("x.txt",), "bad": ("x.steerpack",)}.items():
        (folder / "ada" / name).mkdir(parents=True)
        for file in files:
            (folder / "ada" / name / file).write_bytes(made()[:-1] if name == "bad" else made())
    with serve(folder) as address:
        yield address, folder


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    served: tuple[str, Path],
    tmp_path: Path,
    own_caches: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Call:
    """`steerdsl WORDS…` in a folder of its own, where one.steerpack lies, with an empty cache."""
    from huggingface_hub import constants

    (tmp_path / "one.steerpack").write_bytes(made())
    monkeypatch.chdir(tmp_path)
    # The client's other way to send large files needs a server of its own kind.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))

    def run(*words: str, token: str | None = TOKEN, address: str = served[0]) -> tuple[int, str, str]:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(sys, "argv", ["steerdsl", *words])
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token is not None:
            monkeypatch.setenv("HF_TOKEN", token)
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        assert TOKEN not in out + err
        return code, out, err

    return run


def test_a_pack_goes_there_and_back(call: Call, served: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = served
    assert call("push", "one.steerpack", "--repo", "ada/one", "--license", "mit") == (0, f"{address}/ada/one\n", "")
    assert (folder / "ada" / "one" / "one.steerpack").read_bytes() == made()
    assert (folder / ".log").read_text() == "Add one.steerpack\n"
    card = (folder / "ada" / "one" / "README.md").read_text()
    assert card == call("push", "one.steerpack", "--repo", "ada/one", "--license", "mit", "--dry-run")[1][:-1]
    assert 'license: "mit"' in card and "steerdsl pull ada/one\n" in card
    (tmp_path / "one.steerpack").unlink()
    code, out, err = call("pull", "ada/one", token=None)
    assert (code, err) == (0, "") and out.startswith("one.steerpack: 5 files, sha256 ")
    assert (tmp_path / "one.steerpack").read_bytes() == made()
    code, _, err = call("pull", "ada/one")
    assert code == 2 and err.startswith("error[R801]: one.steerpack already exists\n")


def test_publishing_needs_a_token(call: Call) -> None:
    assert call("push", "one.steerpack", "--repo", "ada/one", token=None) == (
        2,
        "",
        "error[R872]: publishing needs a token of the model hub, and there is none\n"
        "help: run `hf auth login`, or set HF_TOKEN\n",
    )


def test_what_the_hub_refuses(call: Call) -> None:
    code, _, err = call("push", "one.steerpack", "--repo", "bob/one")
    assert (code, err) == (
        3,
        "error[R871]: the hub refused `bob/one`: it answered 403\nhelp: check that the token may write there\n",
    )
    code, _, err = call("push", "one.steerpack", "--repo", "ada/one", token="hf_another")
    assert code == 3 and err.startswith("error[R871]: the hub refused `ada/one`: it answered 401\n")
    code, _, err = call("push", "one.steerpack", "--repo", "ada/one", "--license", "nonsense")
    assert code == 1 and err.startswith("error[R871]: the hub refused the card of `ada/one`: ")
    assert err.endswith("help: give --license one of the hub's names, such as mit\n")
    for name in ("ada/nothing", "not a name"):
        code, _, err = call("pull", name)
        assert (code, err) == (
            1,
            f"error[R871]: there is no repository `{name}` on the hub that you may use\n"
            "help: write owner/name; a private one needs `hf auth login`\n",
        )
    code, _, err = call("pull", "ada/one", address="http://127.0.0.1:9")
    assert code == 3 and err.startswith("error[R871]: the hub cannot be reached: ")


def test_which_pack(call: Call) -> None:
    code, _, err = call("pull", "ada/several")
    assert (code, err) == (
        1,
        "error[R873]: `ada/several` has 2 packs: a.steerpack, b.steerpack\nhelp: add --file a.steerpack\n",
    )
    assert call("pull", "ada/several", "--file", "b.steerpack", "--out", "c.steerpack")[0] == 0
    code, _, err = call("pull", "ada/none")
    assert (code, err) == (1, "error[R873]: `ada/none` has no pack\nhelp: name another repository\n")


def test_a_bad_pack_is_not_kept(call: Call, tmp_path: Path) -> None:
    (tmp_path / "one.steerpack").unlink()
    code, _, err = call("pull", "ada/bad")
    assert code == 1 and err.startswith("error[R866]: x.steerpack is refused: ")
    assert not list(tmp_path.glob("*.steerpack"))
