"""Data sets: declarations, parts, and what a step sees by default."""

from __future__ import annotations

import pytest
from lowering import TOPIC, codes, lowered, steps

from steerdsl.lang.recipe import DataRef, DataSpec, Evaluate, Extract, Generate


def declared(text: str, name: str = "d") -> DataSpec:
    return lowered(text).data[name]


def seen(text: str) -> DataRef:
    (step,) = steps(text, Generate)
    assert isinstance(step, Generate)
    return step.data


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("a.jsonl", "file"),
        ("data/a.csv", "file"),
        ("./data/../a.TXT", "file"),
        ("org/name", "hub"),
        ("org/name-v1.1", "hub"),
    ],
)
def test_kind_of_source(source: str, kind: str) -> None:
    spec = declared(f'dataset d = "{source}"')
    assert spec.kind == kind
    assert spec.source == {"./data/../a.TXT": "a.TXT"}.get(source, source)


def test_file_with_every_option() -> None:
    text = (
        'dataset d = "d.jsonl" with field: "q", positive: "p", negative: "n", answer: "a", choices: "c",\n'
        "    take: 75, seed: 3, held_out: 25%"
    )
    fields = {"prompt": "q", "positive": "p", "negative": "n", "answer": "a", "choices": "c"}
    assert declared(text) == DataSpec("d", "file", "d.jsonl", fields, 75, 3, 0.25)


def test_hub_options() -> None:
    text = 'dataset d = "cais/mmlu" with subset: "econ", split: "test"'
    assert declared(text) == DataSpec("d", "hub", "cais/mmlu", subset="econ", hub_split="test")


def test_another_name_keeps_what_is_not_said_anew() -> None:
    text = "dataset small = econ with take: 20, seed: 5\ndataset d = small with take: 10"
    assert declared(text) == DataSpec("d", "builtin", "econ", take=10, seed=5)


def test_own_data_set_takes_the_name_of_a_built_in() -> None:
    spec = declared('dataset econ = "econ.csv"\n' + TOPIC, "econ")
    assert spec == DataSpec("econ", "file", "econ.csv")


def test_pairs_are_both_sides_of_one_data_set() -> None:
    declaration = 'dataset caa = "caa.jsonl" with positive: "right", negative: "wrong"\n'
    (alone,) = steps(declaration + "v = extract diffmean from caa", Extract)
    (apart,) = steps(declaration + "v = extract diffmean from caa.positive vs caa.negative", Extract)
    assert alone == apart
    assert isinstance(alone, Extract)
    assert (alone.positive, alone.negative) == (
        DataRef("caa", "train", "positive", "directions and layers see `train`"),
        DataRef("caa", "train", "negative", "directions and layers see `train`"),
    )


def test_side_and_part_in_either_order() -> None:
    declaration = 'dataset caa = "caa.jsonl" with positive: "right", negative: "wrong"\n'
    text = declaration + "v = extract diffmean from caa.positive.all vs caa.held_out.negative"
    (step,) = steps(text, Extract)
    assert isinstance(step, Extract)
    assert step.positive == DataRef("caa", "all", "positive", "asked for")
    assert step.negative == DataRef("caa", "held_out", "negative", "asked for")


def test_what_was_fitted_on_is_seen_held_out() -> None:
    assert seen(TOPIC + "out = generate from econ") == DataRef("econ", "held_out", None, "fitted on it")


def test_what_is_fitted_on_later_is_held_out_too() -> None:
    assert seen("out = generate from econ\n" + TOPIC) == DataRef("econ", "held_out", None, "fitted on it")


def test_another_name_of_the_same_source_is_held_out_too() -> None:
    ref = seen("dataset same = econ\n" + TOPIC + "out = generate from same")
    assert ref == DataRef("same", "held_out", None, "fitted on it")


def test_what_nothing_was_fitted_on_is_seen_whole() -> None:
    ref = seen('dataset books = "books.txt"\n' + TOPIC + "out = generate from books")
    assert ref == DataRef("books", "all", None, "nothing was fitted on it")


def test_what_holds_nothing_out_is_seen_whole() -> None:
    ref = seen("dataset d = econ with held_out: 0%\nv = extract diffmean from d vs generic\nout = generate from d")
    assert ref == DataRef("d", "all", None, "fitted on it, and nothing is held out")


def test_a_part_that_is_named_is_taken() -> None:
    assert seen(TOPIC + "out = generate from econ.train") == DataRef("econ", "train", None, "asked for")


def test_nothing_fitted_leaves_the_generic_prompts() -> None:
    (step,) = steps('old = load "old.gguf"\nablate old everywhere', Evaluate)
    assert isinstance(step, Evaluate)
    assert step.data == (DataRef("generic", "all", None, "nothing was fitted on it"),)


@pytest.mark.parametrize(
    ("fitted", "seen", "leaks"),
    [
        ("", "", False),
        ("", "with take: 5", False),
        ("", "with held_out: 10%", False),
        ("", "with held_out: 30%", True),
        ("", "with seed: 1", True),
        ("with seed: 1", "with seed: 1", False),
        ("with held_out: 0%", "", True),
    ],
)
def test_two_names_of_one_source_share_rows_unless_they_are_split_alike(fitted: str, seen: str, leaks: bool) -> None:
    text = f"dataset a = econ {fitted}\ndataset b = econ {seen}\nv = extract diffmean from a vs generic\n"
    assert codes(text + "out = generate from b.held_out") == ["S450"] * leaks


def test_what_was_fitted_held_out_is_told_apart_from_train() -> None:
    text = "v = extract diffmean from econ.held_out vs generic\n"
    assert codes(text + "out = generate from econ.train") == []
    assert codes(text + "out = generate from econ") == ["S450"]
