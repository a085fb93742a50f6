"""Every argument of the functions is held to its type and bounds before anything is read, whatever is passed."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import steerdsl
from steerdsl import arguments
from steerdsl.arguments import LARGEST_SEED, MOST_ROWS, OPTIONS

NOWHERE = Path("nowhere.steer")  # a function that reads it before it has looked at its arguments raises OSError
REFUSED = (TypeError, ValueError, steerdsl.RecipeError)
NAN, INF = float("nan"), float("inf")

# What no argument takes, and for each what it does not take besides.
NEVER: list[Any] = [1.5, NAN, b"x", [], {}, object(), np.array([1, 2]), 2j]
FLAG = [0, 1, "no", "", None, *NEVER]
WORD = [True, 3, "", "  ", *NEVER]
NUMBER = [True, False, np.True_, np.float64(2), "8", "", -1, 2**53, *NEVER]
WRONG: dict[str, list[Any]] = {
    "device": [*WORD, "gpu", None],
    "dtype": [*WORD, "flaot32", "torch.float32", torch.int8, np.float32],
    "batch_size": [*NUMBER, 0, MOST_ROWS + 1, "AUTO"],
    "seed": [*NUMBER, "auto"],
    "on": [*WORD, "cluster", None],
    "host": WORD,
    "insecure": FLAG,
    "offline": FLAG,
    "keep_unsafe": FLAG,
    "judge_url": WORD,
    "judge_model": WORD,
    "model": [*WORD, "a\0b"],
    "allow": [3, True, None, b"x", {"a": 1}, "", [3], [None], [b"x"], "a\0b", 1.5],
    "params": [
        *(3, "abc", [1], [("a", 1, 2)], {1: 2}, {"s": None}, {"s": NAN}, {"s": -INF}, {"s": np.float64(INF)}),
        *({"s": True}, {"s": np.True_}, {"s": [1]}, {"s": 10**400}, {"s": b"1"}, {"s": 2j}, {"s": np.array([1, 2])}),
    ],
}
OF_RUN: dict[str, list[Any]] = {
    "out": [*WORD, "a\0b"],
    "force": FLAG,
    "progress": [3, True, "bar", [], lambda: None, lambda text: None, lambda *, text: None],
}


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(n, v, id=f"{n}-{i}-{type(v).__name__}")
        for n, values in table.items()
        for i, v in enumerate(values)
    ]


@pytest.mark.parametrize(("name", "value"), cases(WRONG))
@pytest.mark.parametrize("call", [steerdsl.plan, steerdsl.run])
def test_a_wrong_argument_is_named(work: Path, call: Callable[..., Any], name: str, value: Any) -> None:
    with pytest.raises(REFUSED, match=name) as caught:
        call(NOWHERE, **{name: value})
    assert "--" not in str(caught.value) and not list(work.iterdir())


@pytest.mark.parametrize(("name", "value"), cases(OF_RUN))
def test_a_wrong_argument_of_run_is_named(work: Path, name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        steerdsl.run(NOWHERE, **{name: value})
    assert not list(work.iterdir())


@pytest.mark.parametrize(("name", "value"), cases({name: WRONG[name] for name in ("allow", "params")}))
def test_a_wrong_argument_of_check_is_named(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        steerdsl.check(NOWHERE, **{name: value})


@pytest.mark.parametrize("call", [steerdsl.check, steerdsl.plan, steerdsl.run])
@pytest.mark.parametrize("value", [3, None, b"text", ["a.steer"], 1.5])
def test_a_recipe_is_a_text_or_a_path(call: Callable[..., Any], value: Any) -> None:
    with pytest.raises(TypeError, match="recipe is a text or a path"):
        call(value)


@pytest.mark.parametrize("value", [3, None, b"runs", 1.5, ["runs"]])
def test_a_folder_is_a_path(value: Any) -> None:
    with pytest.raises(TypeError, match="folder is a text or a path"):
        steerdsl.load(value)


def test_every_option_is_in_the_tables() -> None:
    from steerdsl.api import Options

    assert OPTIONS.keys() == Options.__annotations__.keys() == WRONG.keys() - {"model", "allow", "params"}


ANYTHING = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=3)),
    *(st.lists(st.integers(), max_size=2), st.integers(0, 9).map(np.int64), st.booleans().map(np.bool_)),
    *(st.floats().map(np.float64), st.sampled_from([torch.float32, torch.int64, torch.tensor(3), "auto", "cpu"])),
)


@given(st.sampled_from(sorted(OPTIONS)), ANYTHING)
def test_what_is_taken_can_be_kept_in_a_record(name: str, value: Any) -> None:
    """JSON holds it, of a type that the record's form has, within bounds."""
    try:
        found = arguments.options({name: value}, ())[name]
    except REFUSED as error:
        assert name in str(error)
        return
    json.dumps(found, allow_nan=False)
    assert type(found) in (str, int, bool, type(None))
    assert (type(found) is bool) == (name in ("insecure", "offline", "keep_unsafe"))
    if name in ("seed", "batch_size") and found is not None:
        assert type(found) is int and 0 <= found <= LARGEST_SEED and found == value


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        *(("batch_size", "auto", None), ("batch_size", np.int64(8), 8), ("batch_size", None, None)),
        *(("seed", np.uint8(5), 5), ("seed", torch.tensor(5), 5), ("seed", 2**53 - 1, 2**53 - 1), ("seed", 0, 0)),
        *(("dtype", torch.float32, "float32"), ("dtype", torch.bfloat16, "bfloat16"), ("dtype", "bf16", "bf16")),
        *(("device", torch.device("cpu"), "cpu"), ("device", torch.device("cuda", 1), "cuda:1")),
        *(("offline", np.True_, True), ("keep_unsafe", False, False), ("dtype", None, None), ("host", None, None)),
    ],
)
def test_what_stands_for_a_value_is_taken(name: str, value: Any, kept: Any) -> None:
    found = arguments.options({name: value}, ())[name]
    assert found == kept and type(found) is type(kept)


@pytest.mark.parametrize(
    "value", [2, 2.5, np.float64(2.5), np.float32(0.5), np.int8(2), torch.tensor(2.5), "2.5", 1e-7]
)
@pytest.mark.parametrize("shape", [dict, list, iter, lambda pairs: dict(pairs).items()])
def test_params_are_what_a_dictionary_takes(value: Any, shape: Callable[[Any], Any]) -> None:
    text = arguments.params(shape([("strength", value)]))["strength"]
    assert float(text) == float(value) and "np" not in text and "tensor" not in text
    found = steerdsl.check("param strength = 1", params=shape([("strength", value)]))
    assert not {d.code for d in found} & {"S311", "S216"}


@pytest.mark.parametrize("value", ["abc", Path("abc"), ["abc"], ("abc",), iter([Path("abc")])])
def test_one_path_is_one(value: Any) -> None:
    assert arguments.folders("allow", value) == (Path("abc"),)


@pytest.mark.parametrize(
    ("wrong", "right"), [("batchsize", "batch_size"), ("sede", "seed"), ("dytpe", "dtype"), ("prams", "params")]
)
def test_a_misspelt_option_names_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(TypeError, match=f"no option '{wrong}'; did you mean '{right}'"):
        steerdsl.plan(NOWHERE, **{wrong: 1})
    with pytest.raises(TypeError, match="'forse'; did you mean 'force'"):
        steerdsl.run(NOWHERE, forse=True)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Path("tiny"), "./tiny"),
        (Path("./a/b"), "./a/b"),
        (Path("/a"), "/a"),
        (Path("../a"), "../a"),
        ("org/x", "org/x"),
    ],
)
def test_a_path_of_a_model_is_a_folder(given: Any, kept: str) -> None:
    assert arguments.model(given) == kept


def test_what_params_do_not_fit_is_said_without_the_command(work: Path) -> None:
    for params in ({"strength": 2}, {"strenght": "2%"}):
        found = steerdsl.check("param strength = 40%\nablate layers 1", params=params)
        (mistake,) = [d for d in found if d.code in ("S311", "S216")]
        assert "--" not in mistake.title + str(mistake.help)


def test_torch_is_not_loaded_to_look_at_arguments() -> None:
    script = (
        "import sys, steerdsl.arguments as a\n"
        "a.options({'dtype': 'bf16', 'seed': 1, 'device': 'cpu'}, ()); a.params({'s': 2}); a.progress(print)\n"
        "assert not {'torch', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


RECIPE = """
dataset a = econ with take: 8, held_out: 50%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
add topic by 1 at layer 1
"""


class Titles:
    """Progress with one of the methods."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.titles: list[str] = []

    def __call__(self, text: str, done: int, total: int, unit: str) -> None:
        self.called.append(text)

    def title(self, text: str) -> None:
        self.titles.append(text)


def test_a_function_is_told_of_a_run(tiny_model: Path, work: Path) -> None:
    """So is an object that has some of the methods; torch's own dtype, a path of a model and numpy's seed make a record
    that can be read."""
    told: list[tuple[Any, ...]] = []
    how: dict[str, Any] = {"model": tiny_model, "dtype": torch.float32, "device": "cpu", "seed": np.int64(3)}
    found = steerdsl.run(RECIPE, progress=lambda *what: told.append(what), out=work / "a", batch_size="auto", **how)
    assert found.record["run"]["seed"] == 3 and found.record["run"]["dtype"] == "float32"
    assert told and all(len(what) == 4 for what in told) and "planning" in [what[0] for what in told]
    some = Titles()
    steerdsl.run(RECIPE, progress=some, out=work / "b", **{**how, "seed": 4})  # not the run that the store has
    assert "[1/3] extract topic" in some.titles and "planning" in some.called


def test_what_must_be_known_is_said_to_a_function() -> None:
    told: list[tuple[Any, ...]] = []
    progress = arguments.progress(lambda *what: told.append(what))
    assert progress is not None
    progress.say("know this")
    progress.title("[1/1] extract")
    progress.finished()
    assert told == [("know this", 0, 0, "")]


def test_a_run_unlike_its_lock_says_so(tiny_model: Path, work: Path) -> None:
    """In the line that the command prints."""
    from steerdsl.share.held import pins_of
    from steerdsl.share.lock import write_lock

    (work / "lk").mkdir()
    file = work / "lk" / "l.steer"
    file.write_text(RECIPE)
    how: dict[str, Any] = {"model": tiny_model, "dtype": "float32", "device": "cpu"}
    steerdsl.run(file, seed=1, **how)  # the weights are hashed
    write_lock(pins_of(steerdsl.plan(file, seed=1, **how)), work / "lk" / "l.steer.lock")
    with pytest.warns(steerdsl.RecipeWarning, match=r"^this run differs from l.steer.lock in .*run.seed") as seen:
        steerdsl.run("lk/l.steer", seed=2, **how)
    (said,) = [w for w in seen if "l.steer.lock" in str(w.message)]
    assert said.filename == __file__
    words = [
        "run",
        "lk/l.steer",
        "--model",
        str(tiny_model),
        "--dtype",
        "float32",
        "--device",
        "cpu",
        "--seed",
        "2",
        "-q",
    ]
    command = [sys.executable, "-m", "steerdsl.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"warning: {said.message}" in done.stderr.splitlines()
    with warnings.catch_warnings():
        warnings.simplefilter("error", steerdsl.RecipeWarning)
        steerdsl.run("lk/l.steer", seed=1, **how)
