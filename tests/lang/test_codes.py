"""Diagnostic codes: each has a page, each page's recipes do what the page says, each code is tested."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "steerdsl" / "lang" / "codes"
CODE = re.compile(r"[\"'](?:[SW][1-4]|D5|M6|P7|R[89])\d\d[\"']")
SYNTAX = sorted(path.stem for path in PAGES.glob("S1*.md"))


def used() -> set[str]:
    """Every code that stands as a string in the package."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "steerdsl").rglob("*.py"))
    return {found.strip("\"'") for text in texts for found in CODE.findall(text)}


def sources_of_tests() -> str:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tests").rglob("*.txt")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files if path != Path(__file__))


def block(page: str, after: str) -> str:
    match = re.search(rf"^{after}\b.*:\n\n((?:    .*\n|\n)+)", page, re.MULTILINE)
    assert match, f"no block after {after}"
    return dedent(match[1])


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert used() == {path.stem for path in PAGES.glob("*.md")}


def test_every_code_is_tested() -> None:
    text = sources_of_tests()
    assert [code for code in sorted(used()) if code not in text] == []


@pytest.mark.parametrize("code", sorted(path.stem for path in PAGES.glob("*.md")))
def test_pages_begin_with_a_title(code: str) -> None:
    first, blank, *rest = (PAGES / f"{code}.md").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"# [^A-Z].*[^.]", first)
    assert not blank and any(line.strip() for line in rest)


@pytest.mark.parametrize("code", SYNTAX)
def test_syntax_pages_show_the_mistake_and_the_way_out(code: str) -> None:
    page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    _, wrong = parse(Source("wrong.steer", block(page, "Wrong")))
    _, right = parse(Source("right.steer", block(page, "Right")))
    assert [d.code for d in wrong.found] == [code]
    assert not right.found


@pytest.mark.parametrize("code", SYNTAX)
def test_every_syntax_code_has_a_bad_recipe(code: str) -> None:
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "recipes" / "bad").glob("*.txt"))
    assert any(f"error[{code}]" in text for text in texts)
