"""Pins: how two sets of them differ, and the files that hold them."""

from __future__ import annotations

from pathlib import Path

import pytest

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.registry import Kind, find
from steerdsl.share.lock import lock_path, read_lock, write_lock
from steerdsl.share.pins import _MODEL, Pin, differences, pins

PINS: dict[str, Pin] = {
    "data.econ.sha256": "aa",
    "model.dtype": "float32",
    "model.id": "acme/tiny",
    "model.weights_sha256": "bb",
    "packages.torch": "2.13.0",
    "recipe.sha256": "cc",
    "run.batch_size": 16,
    "run.seed": None,
    "steps.evaluate scores.answers": "greedy",
    "steps.evaluate scores.batch": "16 prompts",
    "steps.evaluate scores.key": "dd",
}


def test_nothing_differs() -> None:
    assert differences(PINS, PINS) == []


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("data.econ.sha256", "meaning"),
        ("model.weights_sha256", "meaning"),
        ("run.seed", "meaning"),
        ("steps.evaluate scores.answers", "meaning"),
        ("steps.evaluate scores.key", "meaning"),
        ("model.dtype", "last bits"),
        ("packages.torch", "last bits"),
        ("run.batch_size", "last bits"),
        ("steps.evaluate scores.batch", "last bits"),
        ("recipe.sha256", "nothing"),
        ("model.id", "nothing"),
    ],
)
def test_each_pin_has_its_severity(name: str, severity: str) -> None:
    (found,) = differences(PINS, {**PINS, name: "another"})
    assert (found.name, found.severity, found.before, found.now) == (name, severity, PINS[name], "another")


def test_the_place_of_other_weights_matters() -> None:
    now: dict[str, Pin] = {**PINS, "model.id": "acme/large", "model.weights_sha256": "ee"}
    assert [d.severity for d in differences(PINS, now)] == ["meaning", "meaning"]
    unknown: dict[str, Pin] = {**PINS, "model.weights_sha256": None}
    (found,) = differences(unknown, {**unknown, "model.id": "acme/large"})
    assert found.severity == "meaning"


def test_the_gravest_is_first_and_what_follows_from_it_is_left_out() -> None:
    now: dict[str, Pin] = {name: "another" for name in PINS}
    found = differences(PINS, now)
    order = [d.severity for d in found]
    assert order == sorted(order, key=["meaning", "last bits", "nothing"].index)
    assert "steps.evaluate scores.key" not in {d.name for d in found}


def test_versions_do_not_explain_another_key() -> None:
    now: dict[str, Pin] = {**PINS, "packages.torch": "3", "steps.evaluate scores.key": "ff"}
    assert {d.name for d in differences(PINS, now)} == {"packages.torch", "steps.evaluate scores.key"}


def test_pins_that_come_and_go_are_differences_even_where_they_are_null() -> None:
    fewer = {name: value for name, value in PINS.items() if name != "run.seed"}
    assert [(d.name, d.before, d.now) for d in differences(fewer, PINS)] == [("run.seed", None, None)]


def test_a_lock_is_one_pin_a_line_and_sorted(tmp_path: Path) -> None:
    path = lock_path(tmp_path / "one.steer")
    assert path.name == "one.steer.lock" and read_lock(path) is None
    write_lock(dict(reversed(PINS.items())), path)
    lines = path.read_text().splitlines()
    assert lines[:3] == ["{", ' "pins": {', '  "data.econ.sha256": "aa",'] and len(lines) == len(PINS) + 5
    assert lines[2:-3] == sorted(lines[2:-3])
    assert read_lock(path) == PINS


def test_where_a_recipe_runs_is_no_pin_of_an_old_lock(tmp_path: Path) -> None:
    path = lock_path(tmp_path / "one.steer")
    write_lock({**PINS, "run.on": "local", "run.keep_unsafe": False}, path)
    assert read_lock(path) == PINS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<<<<<<< ours\n", "one.steer.lock is not JSON: expecting value at line 1, column 1"),
        ('{"pins": ["model", "data"]}', "one.steer.lock has a wrong form: `schema` is missing"),
        ('{"pins": {}, "schema": 9}', "its schema is 9, and this version writes 1"),
        (
            '{"pins": {"a": [1]}, "schema": 1}',
            "one.steer.lock has a wrong form: `pins.a` is a list, not a single value",
        ),
    ],
)
def test_a_damaged_lock(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "one.steer.lock"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_lock(path)
    assert "".join(map(render, caught.value.diagnostics)) == (
        "error[R861]: one.steer.lock cannot be read as a lock\n"
        f"note: the reason given: {reason}\n"
        "help: renew it with `steerdsl lock --upgrade`\n"
    )


def test_what_a_word_means_is_not_pinned() -> None:
    """The plan prints it; another version may say it in other words."""
    lines: list[tuple[str, Kind, str]] = [
        ("method", "extract", "diffmean"),
        ("criterion", "select", "fisher"),
        ("metric", "metric", "keyword_rate"),
    ]
    settings = [[label, f"{name}, words: econ: {find(kind, name).summary}"] for label, kind, name in lines]
    step = {"verb": "evaluate", "name": "s", "title": "", "settings": [*settings, ["layers", "all: 30"]], "key": None}
    model = dict.fromkeys(_MODEL)
    made = {**{key: {} for key in ("template", "packages", "inputs", "data", "run")}, "model": model}
    made |= {"recipe": {"sha256": "aa"}, "plan": {"params": {}, "steps": [step]}}
    found = {name.rpartition(".")[2]: value for name, value in pins(made).items() if name.startswith("steps.")}
    assert [found[label] for label, _, _ in lines] == [f"{name}, words: econ" for _, _, name in lines]
    assert found["layers"] == "all: 30"
