"""Shared by the tests of the checker: a text in, its recipe or its messages out."""

from __future__ import annotations

from collections.abc import Mapping

from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import render
from steerdsl.lang.recipe import Recipe, Step
from steerdsl.lang.source import Source

TOPIC = "topic = extract diffmean from econ vs generic\n"


def lowered(text: str, files: Mapping[str, str] | None = None, **overrides: str) -> Recipe:
    """The recipe of a text that must have no errors; `files` are what it may `use`."""
    recipe, report = _check(text, files, overrides)
    assert recipe is not None, [render(d) for d in report.errors]
    return recipe


def steps(text: str, kind: type[Step] | None = None) -> list[Step]:
    """The steps of a text, or those of one kind."""
    return [step for step in lowered(text).steps if kind is None or isinstance(step, kind)]


def messages(text: str, files: Mapping[str, str] | None = None, **overrides: str) -> list[str]:
    """Every message as it is printed."""
    return [render(d) for d in _check(text, files, overrides)[1].found]


def codes(text: str) -> list[str]:
    return [d.code for d in _check(text, None, {})[1].found]


def _check(text: str, files: Mapping[str, str] | None, overrides: Mapping[str, str]):  # type: ignore[no-untyped-def]
    def read(path: str) -> Source:
        if path not in (files or {}):
            raise FileNotFoundError(2, "No such file or directory")
        return Source(path, (files or {})[path])

    return check_source(Source("main.steer", text), overrides=overrides, read=read)
