"""Options that come to a command as one value: every field of it, with its default."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import typer

from steerdsl.cli.options import _rows, run_options
from steerdsl.planning.plan import RunOptions


def given(*words: str) -> RunOptions:
    """What a command with every option of a run is handed."""
    handed: list[RunOptions] = []

    @run_options(*(field.name for field in fields(RunOptions)))
    def command(*, chosen: RunOptions) -> None:
        handed.append(chosen)

    app = typer.Typer()
    app.command()(command)
    app(words, standalone_mode=False)
    return handed[0]


def test_defaults_are_those_of_the_value() -> None:
    assert given() == RunOptions()


def test_every_option_arrives() -> None:
    words = "--set a=1 --set b=2 --model m --device cpu --dtype bf16 --batch-size 3 --seed 4 --on ndif --host h"
    more = "--insecure --offline --allow x --allow y --judge-url u --judge-model j --keep-unsafe"
    assert given(*words.split(), *more.split()) == RunOptions(
        model="m",
        device="cpu",
        dtype="bf16",
        batch_size=3,
        seed=4,
        on="ndif",
        offline=True,
        allow=(Path("x"), Path("y")),
        keep_unsafe=True,
        sets=("a=1", "b=2"),
        host="h",
        insecure=True,
        judge_url="u",
        judge_model="j",
    )


@pytest.mark.parametrize("rows", ["0", "-1", "1000001", "9" * 30, "1e3", "", "many", "1.5", "\u00b2"])
def test_a_batch_has_from_one_to_a_million_rows(rows: str) -> None:
    with pytest.raises(typer.BadParameter, match="neither auto nor a whole number from 1 to 1000000"):
        _rows(rows)


def test_the_number_of_rows_or_auto() -> None:
    assert [_rows(text) for text in ("auto", "1", "1000000")] == [None, 1, 1_000_000]
