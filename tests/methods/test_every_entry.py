"""Every method, criterion, plane, operation, condition and metric has a test of its numbers, and that test can fail.

A module of tests says in NUMERIC which of its tests compares an entry with an independent computation. Each runs as
it is, and again while every number that the entry gives is off by a little: a test that does not notice is not one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from steerdsl.registry import Kind, entries, find

TESTS = Path(__file__).parents[1]
KINDS: tuple[Kind, ...] = ("extract", "select", "plane", "op", "condition", "metric")
OFF = 1.01  # what every number is multiplied by


def declared() -> dict[tuple[Kind, str], Callable[[], None]]:
    """The tests of numbers that the modules of both folders declare."""
    found: dict[tuple[Kind, str], Callable[[], None]] = {}
    for folder in ("methods", "measure"):
        sys.path.insert(0, str(TESTS / folder))
        for file in sorted((TESTS / folder).glob("test_*.py")):
            found |= getattr(import_module(file.stem), "NUMERIC", {}) if file != Path(__file__) else {}
        sys.path.remove(str(TESTS / folder))
    return found


NUMERIC = declared()
ENTRIES = [pytest.param(kind, name, id=f"{kind}-{name}") for kind in KINDS for name in entries(kind)]


def off(value: Any) -> Any:
    """The same with other numbers."""
    if isinstance(value, torch.Tensor):
        return value * OFF + 0.01 if value.is_floating_point() else value
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: off(getattr(value, field.name)) for field in fields(value)}
        return replace(value, **changed)
    if isinstance(value, dict):
        return {key: off(item) for key, item in value.items()}
    if isinstance(value, list):
        return [off(item) for item in value]
    return value * OFF + 0.01 if isinstance(value, float) else value


@contextmanager
def spoiled(kind: Kind, name: str) -> Iterator[None]:
    """The entry gives other numbers for a while."""
    entry = find(kind, name)
    run = entry.run
    object.__setattr__(entry, "run", lambda *args, **named: off(run(*args, **named)))
    try:
        yield
    finally:
        object.__setattr__(entry, "run", run)


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_an_entry_has_a_test_of_its_numbers(kind: Kind, name: str) -> None:
    assert (kind, name) in NUMERIC, f"declare a test of {name}'s numbers in NUMERIC of its module"
    NUMERIC[kind, name]()
    with spoiled(kind, name), pytest.raises(AssertionError):
        NUMERIC[kind, name]()


def test_nothing_is_declared_that_is_no_entry() -> None:
    assert NUMERIC.keys() == {(kind, name) for kind in KINDS for name in entries(kind)}
