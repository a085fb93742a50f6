"""Edition, model, params with `--set`, and files that are used."""

from __future__ import annotations

import pytest
from lowering import TOPIC, lowered, messages

from steerdsl.lang.check import check_source
from steerdsl.lang.recipe import DataSpec, Extract, LayerPoint, ModelSpec, Op, Steer, Strength, VectorRef
from steerdsl.lang.source import Source

PARAM = "param strength = 40%\n" + TOPIC + "add topic by strength at layer 12\n"


def strength(**overrides: str) -> object:
    step = lowered(PARAM, **overrides).steps[1]
    assert isinstance(step, Steer)
    return step.ops[0].args["by"]


def test_model_with_every_option() -> None:
    text = 'model "org/name" with dtype: bf16, system: "Be terse.", revision: "abc", template: newline'
    assert lowered(text).model == ModelSpec("org/name", "bf16", "Be terse.", "abc", "newline")


@pytest.mark.parametrize("written", ["on", "off", '"on"', '"off"', "on, dtype: fp32"])
def test_thinking(written: str) -> None:
    """`on` begins a clause elsewhere, and is a word here."""
    spec = lowered(f'model "org/name" with thinking: {written}').model
    assert spec.thinking == ("off" if "off" in written else "on")
    assert spec.dtype == ("fp32" if "fp32" in written else None)
    assert lowered('model "org/name"').model.thinking is None


def test_param_and_its_override() -> None:
    assert strength() == Strength(0.4, "share")
    assert strength(strength="60%") == Strength(0.6, "share")
    assert strength(strength="-1.5e1%") == Strength(-0.15, "share")


def test_params_in_force_are_kept_as_printed() -> None:
    text = 'param a = 2 * 10deg\nparam b = "x"\nparam c = bf16\n'
    assert lowered(text).params == {"a": "20deg", "b": '"x"', "c": "bf16"}
    assert lowered(text, a="1.5rad", b="y z", c="fp32").params == {"a": "1.5rad", "b": '"y z"', "c": "fp32"}


@pytest.mark.parametrize("text", ["60", "60deg", "much", "", "60%%"])
def test_override_of_another_sort(text: str) -> None:
    assert messages(PARAM, strength=text) == [
        f"error[S311]: the value `{text}` does not fit: `strength` is a share\n"
        " --> main.steer:1:18\n"
        "  |\n"
        "1 | param strength = 40%\n"
        "  |                  ^^^ 40% here\n"
        "  |\n"
        "help: give a value such as `40%`\n"
    ]


def test_override_of_no_param() -> None:
    assert messages(PARAM, strenght="60%") == [
        "error[S216]: there is no param `strenght` to give a value to\nhelp: did you mean `strength`?\n"
    ]
    assert messages(TOPIC, x="1") == [
        "error[S216]: there is no param `x` to give a value to\nhelp: this recipe has no params\n"
    ]


USED = {
    "common/all.steer": 'model "org/name"\nuse "data.steer"\nsteer shared { ablate topic everywhere }\n',
    "common/data.steer": 'param layer_of = 12\ndataset econ = "econ.jsonl"\n' + TOPIC,
}


def test_used_file_gives_names_params_and_model() -> None:
    text = 'use "common/all.steer"\nsteer both { use shared; add topic by 1 at layers layer_of }\n'
    recipe = lowered(text, USED)
    assert recipe.model == ModelSpec("org/name")
    assert recipe.params == {"layer_of": "12"}
    assert recipe.data["econ"] == DataSpec("econ", "file", "common/econ.jsonl")
    extract, shared, both = recipe.steps[:3]
    assert isinstance(extract, Extract) and isinstance(shared, Steer) and isinstance(both, Steer)
    assert shared.ops == (Op("ablate", VectorRef("topic"), {"by": 1.0, "alpha": 0.0}, everywhere=True),)
    assert both.ops[0] == shared.ops[0]
    assert both.ops[1].layers.items == (LayerPoint(12.0),)


def test_steps_of_a_used_file_stand_at_its_use() -> None:
    text = 'use "common/all.steer"\nablate topic everywhere\nsteer both { use shared }\n'
    recipe = lowered(text, USED)
    first = text.index("\n")
    extract, shared, main, both = recipe.steps[:4]
    for step in (extract, shared):
        assert (step.span.start, step.span.end) == (0, first)
    assert isinstance(both, Steer) and isinstance(main, Steer)
    assert both.ops[0].span == recipe.data["econ"].span == extract.span
    assert main.ops[0].span.start == first + 1


def test_a_file_used_twice_is_read_once() -> None:
    files = {"a.steer": "param x = 1", "b.steer": 'use "a.steer"', "c.steer": 'use "a.steer"\nuse "./a.steer"'}
    assert lowered('use "b.steer"\nuse "c.steer"', files).params == {"x": "1"}


def test_override_reaches_a_used_file() -> None:
    assert lowered('use "a.steer"', {"a.steer": "param x = 1"}, x="3").params == {"x": "3"}


def test_model_of_a_used_file_comes_too_late() -> None:
    found = messages(TOPIC + 'use "a.steer"', {"a.steer": 'model "org/name"'})
    assert [text.splitlines()[0] for text in found] == ["error[S409]: `model` comes too late"]


def test_text_without_a_folder_uses_no_file() -> None:
    recipe, report = check_source(Source("-e", 'use "a.steer"'))
    assert recipe is None
    assert [(d.code, d.help) for d in report.found] == [("S219", "put it into a file")]


def test_file_that_is_not_text() -> None:
    def read(path: str) -> Source:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    _, report = check_source(Source("a.steer", 'use "b.steer"'), read=read)
    assert [(d.code, d.labels[0].text) for d in report.found] == [("S219", "it is not text")]


def test_folders_that_the_command_line_allows() -> None:
    text = 'dataset a = "/data/a.jsonl"\ndataset b = "/data/../etc/b.jsonl"'
    _, report = check_source(Source("a.steer", text), folders=("/data",))
    assert [d.title for d in report.errors] == ["`/data/../etc/b.jsonl` is outside the recipe's folder"]
