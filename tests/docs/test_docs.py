"""What the README and the pages of docs/ show is true: recipes check, commands exist, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from blocks import PAGES, ROOT, Block, anchors, blocks, named, prose

from steerdsl.cli.main import COMMANDS, application
from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import Diagnostic, render
from steerdsl.lang.format import format_source
from steerdsl.lang.grammar import clause_words, keywords, statement_words
from steerdsl.lang.source import Source
from steerdsl.registry import Entry, Kind, entries, find

LANGUAGES = {"steer", "sh", "python", "json", "text"}
OTHER_PROGRAMS = {"pip", "python", "pytest", "cd", "git"}
BETWEEN_COMMANDS = {"&&", "||", "|", ";"}


def of(language: str, *, bad: bool = False) -> list[Any]:
    """The blocks of a language as parameters."""
    found = [b for page in PAGES for b in blocks(page) if b.language == language and (b.mark == "bad") == bad]
    return [pytest.param(block, id=block.id) for block in found]


def check(block: Block) -> list[Diagnostic]:
    """The diagnostics of a recipe; what it uses are the blocks of its page that are named as files."""
    files = {b.mark: b for b in blocks(block.page) if b.language == "steer" and b.mark.endswith(".steer")}

    def read(path: str) -> Source:
        if path not in files:
            raise FileNotFoundError(2, "no block of this page has that name", path)
        return Source(path, files[path].text)

    name = block.mark if block.mark.endswith(".steer") else "recipe.steer"
    _, report = check_source(Source(name, block.text), read=read)
    return report.found


def test_there_are_pages_and_recipes() -> None:
    assert {"docs/tour.md", "docs/language.md", "docs/reference/errors.md"} <= {named(page) for page in PAGES}
    assert len(of("steer")) > 30 and len(of("steer", bad=True)) > 3 and len(of("sh")) > 10


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_is_closed_and_of_a_language_that_is_tested(page: Path) -> None:
    fences = re.findall(r"^\s*```", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))
    assert {block.language for block in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("block", of("steer"))
def test_recipe_checks_and_is_formatted(block: Block) -> None:
    """A file made to be used may declare what only its users need (S452)."""
    found = [d for d in check(block) if not (block.mark and d.code == "S452")]
    assert "".join(map(render, found)) == ""
    assert format_source(Source("recipe.steer", block.text))[0] == block.text


@pytest.mark.parametrize("block", of("steer", bad=True))
def test_bad_recipe_prints_the_text_below_it(block: Block) -> None:
    page = blocks(block.page)
    after = page[page.index(block) + 1]
    assert after.language == "text"
    assert "\n".join(map(render, check(block))) == after.text


@pytest.mark.parametrize("block", of("python"))
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.id, "exec")


@pytest.mark.parametrize("block", of("json"))
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


# ---- commands ----


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each command, assignments before it left out."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in BETWEEN_COMMANDS:
                words.append(word)
                continue
            while words and re.match(r"\w+=", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []


@pytest.mark.parametrize("block", of("sh"))
def test_commands_exist_and_take_their_options(block: Block) -> None:
    found = list(commands(block))
    assert found
    for program, *words in found:
        if program == "steerdsl":
            parse(words)
        else:
            assert program in OTHER_PROGRAMS


def parse(words: list[str]) -> None:
    """Read a command line as the program does, without running it."""
    group: Any = typer.main.get_command(application(words))
    context = group.make_context("steerdsl", list(words))
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert name in COMMANDS
    command.make_context(name, rest, parent=context)


def test_a_wrong_option_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["run", "recipe.steer", "--layers", "6"])
    with pytest.raises(Exception, match="No such command"):
        parse(["steer", "recipe.steer"])


# ---- links and names of files ----

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:steerdsl|tests|docs|grammars|recipes|benchmarks)/[a-z0-9_./*-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(re.sub(r"`[^`]*`", "", prose(page))):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_exist(page: Path) -> None:
    missing = [name for name in FILE.findall(prose(page)) if not list(ROOT.glob(name.rstrip("/")))]
    assert missing == []


# ---- the language page ----

LANGUAGE = ROOT / "docs" / "language.md"


@pytest.mark.parametrize(
    ("opening", "words"),
    [("Words that begin a statement:", statement_words()), ("Clause words:", [keywords()[t] for t in clause_words()])],
)
def test_the_language_page_lists_every_word(opening: str, words: Sequence[str]) -> None:
    listed = LANGUAGE.read_text(encoding="utf-8").partition(f"\n{opening}")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == {*words}


@pytest.mark.parametrize("statement", [name for name, entry in entries("statement").items() if entry.args])
def test_the_language_page_names_every_option(statement: str) -> None:
    first_cells = re.findall(r"^\| ([^|]+) \|", LANGUAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {word for cell in first_cells for word in re.findall(r"`(\w[\w ]*)`", cell)}
    assert {arg.name for arg in find("statement", statement).args} <= named


# ---- the reference ----


def test_the_reference_is_not_stale() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


# Those of the methods are checked in tests/methods.
OTHER_KINDS: tuple[Kind, ...] = ("position", "stream", "metric", "plot")
PRELUDE = """
dataset polite = "polite.jsonl" with field: "prompt", answer: "answer"
dataset rude = "rude.jsonl" with field: "prompt", answer: "answer"
dataset harmful = "harmful.txt"
dataset gsm8k = "gsm8k.jsonl" with field: "question", answer: "answer"
dataset posts = "posts.jsonl" with field: "post", answer: "summary"
dataset mmlu = "mmlu.jsonl" with choices: "choices", answer: "answer"
topic = extract diffmean from econ vs generic
best = select layers of topic
turn = plane(topic, pc1)
steer forgetful { ablate topic everywhere }
steer open { ablate topic[best] everywhere }
"""
SEARCHED = (
    "found = tune power over 0..4 { steer p { add topic by power at layers 14 }\n"
    "tried = evaluate p on generic with bleu\n maximize bleu.generic }\n"
)
SWEPT = "sweep angle over 0deg,90deg { rotate turn to angle; scores = evaluate main on econ with refusal_rate }\n"


@pytest.mark.parametrize(
    "entry",
    [pytest.param(e, id=f"{kind}-{name}") for kind in OTHER_KINDS for name, e in entries(kind).items()],
)
def test_the_example_of_an_entry_checks(entry: Entry) -> None:
    before = PRELUDE + (SWEPT + SEARCHED if entry.kind == "plot" else "")
    _, report = check_source(Source("example", before + entry.example + "\n"))
    assert "".join(map(render, report.errors)) == ""
