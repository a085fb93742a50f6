"""The pages of the codes that the checker gives: their wrong recipe gives that code, their right one none."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from steerdsl.lang.check import check_source
from steerdsl.lang.source import Source

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "steerdsl" / "lang" / "codes"
RUBRICS = {"S340", "S341", "S343"}  # of files: run/test_rubric_faults
ELSEWHERE = RUBRICS | {
    "S216",
    "S217",
    "S218",
    "S219",
    "S311",
    "S320",
}  # need `--set` or a second file: test_lower_settings
CODES = sorted({path.stem for path in PAGES.glob("S[234]*.md")} - ELSEWHERE)


def block(code: str, word: str) -> str:
    page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    match = re.search(rf"^{word}:\n\n((?:    .*\n|\n)+)", page, re.MULTILINE)
    assert match, f"{code} has no block after {word}"
    return dedent(match[1])


@pytest.mark.parametrize("code", CODES)
def test_wrong_recipe_gives_the_code_alone(code: str) -> None:
    _, report = check_source(Source("wrong.steer", block(code, "Wrong")))
    assert [d.code for d in report.found] == [code]


@pytest.mark.parametrize("code", CODES)
def test_right_recipe_gives_nothing(code: str) -> None:
    recipe, report = check_source(Source("right.steer", block(code, "Right")))
    assert recipe is not None
    assert report.found == []


@pytest.mark.parametrize("code", CODES)
def test_only_the_help_is_longer_than_a_title(code: str) -> None:
    _, report = check_source(Source("wrong.steer", block(code, "Wrong")))
    for found in report.found:
        assert found.help
        assert found.severity == ("warning" if code.startswith("S45") else "error")
        assert not found.title.endswith(".") and not found.title[0].isupper()
