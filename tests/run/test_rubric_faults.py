"""What `check` says of rubrics before anything runs: all of it at once, each with its place and a way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

RECIPE = """topic = extract diffmean from econ vs generic
ablate topic
evaluate on econ with judge("{}")
"""
TEXTS: dict[str, bytes] = {
    "unknown": b"Does {anser} answer {question}?",
    "empty": b" \n",
    "silent": b"Is it kind? {question}",
    "latin": b"H\xf6flich? {answer}",
    "long": b"{answer}" + b"x" * (64 << 10),
}


@pytest.mark.parametrize(
    ("name", "codes", "help"),
    [
        ("unknown.md", ["S340", "S341"], "did you mean {answer}?"),
        ("empty.md", ["S341"], "write {answer} where the judge is to read it"),
        ("silent.md", ["S341"], "write {answer} where the judge is to read it"),
        ("latin.md", ["D504"], "save the file as UTF-8"),
        ("long.md", ["D530"], "say in a page or two what the judge is asked"),
        ("nowhere.md", ["D501"], "holds"),
        ("coherance", ["S343"], 'did you mean "coherence"?'),
        ("kindness", ["S343"], "name a file (.md, .txt, a trait file .json), or one of coherence"),
    ],
)
def test_a_rubric_that_cannot_be_asked(
    steerdsl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codes: list[str], help: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for stem, text in TEXTS.items():
        Path(f"{stem}.md").write_bytes(text)
    Path("r.steer").write_text(RECIPE.format(name))
    code, out, err = steerdsl("check", "r.steer")
    said = out + err
    assert code == 1 and [c for c in codes if f"error[{c}]" in said] == codes and help in said
    assert "r.steer:3:23" in said and "Traceback" not in said and said.count("error[") == len(codes)


@pytest.mark.parametrize("path", ["../r.md", "/etc/passwd.txt", "~/r.md"])
def test_a_rubric_outside_of_the_folder(
    steerdsl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.steer").write_text(RECIPE.format(path))
    code, out, err = steerdsl("check", "r.steer")
    assert code == 1 and "error[S312]" in out + err


def test_a_link_that_leads_out_is_not_followed(steerdsl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret.md").write_text("{answer}")
    monkeypatch.chdir(tmp_path / "inner")
    Path("r.md").symlink_to("../secret.md")
    Path("r.steer").write_text(RECIPE.format("r.md"))
    code, out, err = steerdsl("check", "r.steer")
    assert code == 1 and "error[D502]" in out + err
