"""The grammar: free of conflicts and collisions, found in every layout, quick to load, complete in its tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from lark import Lark

from steerdsl.lang import grammar
from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source
from steerdsl.registry import entries

ROOT = Path(__file__).parents[2]
STRICT = {"parser": "lalr", "lexer": "basic", "strict": True, "start": list(grammar.STARTS)}


def test_strict_mode_finds_no_conflict_and_no_collision() -> None:
    Lark(grammar.grammar_text(), **STRICT)


def test_strict_mode_would_find_them() -> None:
    doubled = grammar.grammar_text() + "\nTWICE: /[a-z]+/\n"
    doubled = doubled.replace("unused: (", "unused: (TWICE | ")
    with pytest.raises(Exception, match=r"[Cc]ollision"):
        Lark(doubled, **STRICT)


@pytest.mark.parametrize("layout", ["wheel", "checkout"])
def test_the_grammar_is_found(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "steerdsl"
    folder = (package if layout == "wheel" else tmp_path) / "grammars"
    folder.mkdir(parents=True)
    (folder / "steer.lark").write_text("file: layout", encoding="utf-8")
    monkeypatch.setattr(grammar, "__file__", str(package / "lang" / "grammar.py"))
    assert grammar.grammar_text() == "file: layout"


def test_a_missing_grammar_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "__file__", str(tmp_path / "steerdsl" / "lang" / "grammar.py"))
    with pytest.raises(FileNotFoundError, match="missing from this installation"):
        grammar.grammar_text()


def test_every_keyword_may_be_an_options_key() -> None:
    for word in grammar.keywords().values():
        _, report = parse(Source("x.steer", f"out = generate from econ with {word}: 1"))
        assert not report.found, word


def test_no_keyword_may_be_a_name() -> None:
    for word in grammar.keywords().values():
        _, report = parse(Source("x.steer", f"param {word} = 1"))
        assert [d.code for d in report.found] == ["S112"], word


def test_each_statement_has_an_example_that_parses() -> None:
    known = {**entries("statement"), **entries("op")}
    assert {*known} - {"plane", "answers"} == {*grammar.statement_words()}
    for word, entry in known.items():
        _, report = parse(Source("x.steer", entry.example.replace("{ … }", "{ use a }")))
        assert not report.found, entry.example
        assert re.search(rf"\b{word}\b", entry.example)


def test_the_cache_gives_the_same_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = grammar.parser.__wrapped__()
    assert list((tmp_path / "steerdsl").iterdir())
    cached = grammar.parser.__wrapped__()
    assert cached is not fresh and [t.name for t in cached.terminals] == [t.name for t in fresh.terminals]
    for path in sorted((ROOT / "recipes").glob("*.steer")):
        # The parser alone wants the layout's newlines; here only that both take the same tokens.
        text = path.read_text(encoding="utf-8")
        lexed = [list(p.parse_interactive(text, start="file").lexer_thread.lex(None)) for p in (fresh, cached)]
        assert lexed[0] == lexed[1]
    text = "topic = plane(u, pc1) from layers 6"
    assert cached.parse(text, start="file") == fresh.parse(text, start="file")


BOMB = b"\x80\x04\x8c\x02os\x94\x8c\x06mkdir\x94\x93\x8c\x05owned\x85R."  # a pickle that makes a folder


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:200],
        lambda data: b"",
        lambda data: BOMB,
        lambda data: data.replace(b"statement", b"sentiment", 1),
        lambda data: data.partition(b"\n")[0] + b"\n" + b"[" * 100_000,
        lambda data: data.partition(b" ")[0] + b" " + sha256(b"{}").hexdigest().encode() + b"\n{}",
    ],
)
def test_a_cache_that_is_not_ours_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    grammar.parser.__wrapped__()
    [file] = (tmp_path / "steerdsl").iterdir()
    whole = file.read_bytes()
    file.write_bytes(change(whole))
    assert grammar.parser.__wrapped__().parse("edition 1", start="file").data == "file"
    assert file.read_bytes()[:64] == whole[:64] and file.read_bytes() != change(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["steerdsl"]


def test_nothing_is_read_from_a_folder_that_others_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "steerdsl").mkdir()
    (tmp_path / "steerdsl").chmod(0o777)
    assert grammar.parser.__wrapped__().parse("edition 1", start="file").data == "file"
    assert not list((tmp_path / "steerdsl").iterdir())


def test_no_pickle_is_ours() -> None:
    """Nothing here writes or reads a pickle: torch files of others go through `formats/unpickle.py`, and what a
    server sends through nnsight."""
    users = {
        path.relative_to(ROOT / "steerdsl").as_posix()
        for path in (ROOT / "steerdsl").rglob("*.py")
        if re.search(r"^\s*(import|from) (pickle|cloudpickle|dill|marshal|shelve)\b", path.read_text("utf-8"), re.M)
    }
    assert users == {"engine/tracing/session.py"}


def test_no_cache_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert grammar.parser.__wrapped__().parse("edition 1", start="file").data == "file"
