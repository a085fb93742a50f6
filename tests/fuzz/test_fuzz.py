"""The harness finds what it is to find, and the fuzzing programs find nothing, on fewer cases than by hand."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from fuzz import data_files, packs, recipes, vectors
from fuzz.harness import Case, fuzz

from steerdsl.lang.diagnostics import Diagnostic, RecipeError


def refuses(chance: random.Random, folder: Path) -> str | None:
    (folder / "own.txt").write_text(str(chance.random()))
    raise RecipeError([Diagnostic("D501", "no")])


def trips(chance: random.Random, folder: Path) -> str | None:
    raise KeyError("a")


def strays(chance: random.Random, folder: Path) -> str | None:
    (folder.parents[1] / "around" / "x").write_text("x")
    return "fine"


def dawdles(chance: random.Random, folder: Path) -> str | None:
    end = time.process_time() + 1.1
    while time.process_time() < end:
        pass
    return "fine"


@pytest.mark.parametrize(
    ("case", "ended", "failure"),
    [
        (refuses, "D501", None),
        (trips, "traceback", "case 0: Traceback"),
        (strays, "fine", "case 0: it changed around/x outside its folder"),
        (dawdles, "fine", "case 0: it took 1.1 s"),
    ],
)
def test_the_harness_finds_it(case: Case, ended: str, failure: str | None) -> None:
    outcome = fuzz(case, 1)
    assert outcome.counts == {ended: 1}
    if failure is None:
        assert not outcome.failures
    else:
        assert len(outcome.failures) == 1 and failure.split(":")[0] in outcome.failures[0]
        assert outcome.failures[0].startswith(failure) or "KeyError: 'a'" in outcome.failures[0]


@pytest.mark.slow
@pytest.mark.parametrize("program", [recipes, data_files, vectors, packs], ids=lambda program: program.__name__)
def test_nothing_is_found(program: object) -> None:
    outcome = fuzz(program.case, 400, seed=7, limit=240, seconds=5)  # type: ignore[attr-defined]
    assert not outcome.failures, outcome.failures[0]
    assert sum(outcome.counts.values()) == 400 and len(outcome.counts) > 5
