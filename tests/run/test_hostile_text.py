"""Text of others in every command: it is shown and never obeyed, on terminals, in pipes and in JSON."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from steerdsl.lang.visible import HIDDEN, visible

# What would clear the screen, set a title, restyle, link, turn the direction of reading, or not be seen.
HOSTILE = {
    "markup": "[red]x[/red] [link=http://evil.example]y[/link] [/] [bold",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "c1": "\x9b31mred\x9b0m",
    "return": "over\rwritten",
    "backspace": "abc\b\b\bxyz",
    "delete": "a\x7fb",
    "bidi": "\u202egnp.exe\u202c \u2066x\u2069 \u200f",
    "unseen": "a\u200bb\ufeffc\u2060d\U000e0041",
    "separators": "one\u2028two\u2029three\x0bfour\x0cfive\x85six",
    "emoji": ":warning: :pile_of_poo:",
}
RECIPE = """
# COMMENT
dataset a = "a.jsonl" with field: "p"
dataset b = generic with take: 8
topic = extract diffmean from a vs b at mean_content
steer less { ablate topic at layers 1 }
scores = evaluate less on a with keyword_rate([WORDS]), max_tokens: 3, controls: none
"""


def hidden(text: str) -> set[str]:
    return {c for c in text if ord(c) in HIDDEN}


def quoted(text: str) -> str:
    """As a text of a recipe."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def infected(value: Any, text: str) -> Any:
    """A JSON value with `text` at the end of every string but those that are read as a form."""
    match value:
        case str():
            return value + text
        case list():
            return [infected(x, text) for x in value]
        case dict():
            kept = ("claim", "steps", "state", "schema", "average")
            return {key: x if key in kept else infected(x, text) for key, x in value.items()}
    return value


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a recipe, its data and its run, whose every text is hostile; made once."""
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture
def here(made: Path, on_tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("STEERDSL_CACHE", str(made / "cache"))
    if not (made / "one.steer").exists():
        rows = [{"p": f"question {i} {text}"} for i, text in enumerate(HOSTILE.values())]
        (made / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        words = ", ".join(quoted(text) for text in HOSTILE.values() if "\r" not in text)
        text = RECIPE.replace("WORDS", words).replace("COMMENT", HOSTILE["clear"] + HOSTILE["bidi"])
        (made / "one.steer").write_text(text, encoding="utf-8", newline="")
        monkeypatch.chdir(made)
        code, _, err = on_tiny("run", "one.steer", "--out", "run", "-q")
        assert code == 0, err
    shutil.copytree(made, tmp_path / "here", ignore=shutil.ignore_patterns("cache"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


COMMANDS = [
    ("check", "one.steer"),
    ("check", "one.steer", "--json"),
    ("plan", "one.steer"),
    ("plan", "one.steer", "--json"),
    ("run", "one.steer", "--out", "again"),
    ("run", "one.steer", "--out", "again", "--json"),
    ("lock", "one.steer"),
    ("fmt", "--check", "one.steer"),
]
ON_RUNS = [
    ("show", "run"),
    ("show", "run", "--json"),
    ("report", "run"),
    ("diff", "run", "theirs"),
    ("diff", "run", "theirs", "--json"),
    ("show", "theirs"),
    ("show", "theirs", "--json"),
    ("report", "theirs"),
    ("store",),
    ("store", "list", "--json"),
    ("models",),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_hostile_recipe(here: Path, on_tiny: Any, steerdsl: Any, words: tuple[str, ...]) -> None:
    call = on_tiny if words[0] in ("plan", "run", "lock") else steerdsl
    _, out, err = call(*words)
    assert not hidden(out + err)
    if "--json" in words:
        json.loads(out)
    elif words[0] == "plan":
        assert "[red]x[/red] [link=http://evil.example]y[/link]" in " ".join((out).split())


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("words", ON_RUNS, ids=" ".join)
def test_a_strangers_run(here: Path, steerdsl: Any, words: tuple[str, ...], name: str) -> None:
    shutil.copytree("run", "theirs")
    text = HOSTILE[name]
    for file in ("record.json", "scores.json"):
        path = Path("theirs", file)
        found = infected(json.loads(path.read_text()), text)
        if file == "record.json":
            found["run"]["batch_size"] = "auto"  # a word, or a number
        path.write_text(json.dumps(found))
    rows = [json.loads(row) for row in Path("theirs/generations.jsonl").read_text().split("\n") if row]
    told = [{**row, "prompt": row["prompt"] + text, "text": row["text"] + text} for row in rows]
    Path("theirs/generations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    _, out, err = steerdsl(*words)
    assert not hidden(out + err)
    if words == ("show", "theirs", "--json"):
        assert json.loads(out)["generations"] == told
    elif words == ("show", "theirs"):
        assert " ".join(visible(text).split()) in " ".join(out.split()), err


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("where", ["word", "data", "name", "file"])
def test_mistakes_that_quote_it(here: Path, steerdsl: Any, name: str, where: str) -> None:
    text = HOSTILE[name]
    recipe = {
        "word": f"extract diffmean from econ vs {quoted(text)}",
        "data": f"dataset d = {quoted(text + '.jsonl')}\nextract diffmean from d vs econ",
        "name": f"extract diffmean from econ vs generic at {text}",
        "file": f"use {quoted(text + '.steer')}",
    }[where]
    for words in (("check", "-e", recipe), ("check", "-e", recipe, "--json"), ("explain", text), ("show", text)):
        _, out, err = steerdsl(*words)
        assert not hidden(out + err)
        if "--json" in words:
            assert isinstance(json.loads(out), list)


@pytest.mark.parametrize("name", HOSTILE)
def test_carets_stand_under_what_they_mark(here: Path, steerdsl: Any, name: str) -> None:
    text = HOSTILE[name]
    _, out, _ = steerdsl("check", "-e", f"dataset d = {quoted(text)}; nonsense d")
    for i, row in enumerate(lines := out.splitlines()):
        if "^" in row:
            start = row.index("^")
            assert lines[i - 1][start : start + row.count("^")].strip(), row


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_is_itself_in_a_pipe_and_visible_on_a_terminal(
    here: Path, steerdsl: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if "\r" in HOSTILE[name]:
        return  # a line end of the recipe, which the formatter puts in order
    recipe = f"# {HOSTILE[name].splitlines()[0]}\nedition 1\n"
    for screen in (io.StringIO(), Screen()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(recipe.encode())))
        monkeypatch.setattr(sys, "stdout", screen)
        steerdsl("fmt", "-")
        shown = screen.getvalue()
        assert shown == recipe if not screen.isatty() else not hidden(shown)


def test_lone_surrogates_are_refused(here: Path, steerdsl: Any) -> None:
    """No file of a run can hold one, so a record that has one was not written by a run."""
    record = json.loads(Path("run/record.json").read_text())
    record["warnings"] = ["half of a pair: \ud83d"]
    Path("run/record.json").write_text(json.dumps(record))
    for words in (("show", "run"), ("show", "run", "--json")):
        code, _, err = steerdsl(*words)
        assert code == 2 and err.startswith("error[R881]: the run in run is damaged\n")
