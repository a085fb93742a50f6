"""Every recipe in recipes/bad prints exactly the text beside it. UPDATE_EXPECTED=1 writes that text anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import render
from steerdsl.lang.source import Source

BAD = Path(__file__).parents[1] / "recipes" / "bad"
RECIPES = sorted(path.stem for path in BAD.glob("*.steer"))


def read(path: str) -> Source:
    """A recipe by its path in the folder, as `use` asks for it."""
    return Source(f"bad/{path}", (BAD / path).read_text(encoding="utf-8"))


def printed(name: str) -> str:
    _, report = check_source(read(f"{name}.steer"), read=read)
    return "\n".join(render(diagnostic) for diagnostic in report.found)


@pytest.mark.parametrize("name", RECIPES)
def test_bad_recipe_prints_its_text(name: str) -> None:
    expected = BAD / f"{name}.txt"
    text = printed(name)
    if os.environ.get("UPDATE_EXPECTED"):
        expected.write_text(text, encoding="utf-8")
    assert text, "a recipe in this folder has at least one mistake"
    assert text == expected.read_text(encoding="utf-8")


def test_there_are_at_least_sixty() -> None:
    assert len(RECIPES) >= 60


def test_no_text_is_left_without_its_recipe() -> None:
    assert {path.stem for path in BAD.glob("*.txt")} == set(RECIPES)


def test_ten_mistakes_give_ten_errors() -> None:
    _, report = check_source(Source("ten_mistakes.steer", (BAD / "ten_mistakes.steer").read_text(encoding="utf-8")))
    assert len(report.errors) == 10
