"""Which variants an evaluation compares, and what the prompting control says."""

from __future__ import annotations

import pytest

from steerdsl.lang import recipe as r
from steerdsl.lang.check import check_source
from steerdsl.lang.source import Source
from steerdsl.planning.controls import Variant, variants

FITTED = 'dataset my_topic = "t.jsonl"\ntopic = extract diffmean from econ vs generic\n'


def made(operation: str, controls: str = "") -> tuple[Variant, ...]:
    text = f"{FITTED}steer s {{ {operation} }}\nevaluate s on generic with refusal_rate{controls}"
    recipe, report = check_source(Source("r.steer", text))
    assert recipe is not None, report.found
    named = {getattr(step, "name", ""): step for step in recipe.steps}
    step, steer = recipe.steps[-1], named["s"]
    assert isinstance(step, r.Evaluate) and isinstance(steer, r.Steer)
    return variants(step, steer, named, recipe.data)


@pytest.mark.parametrize(
    ("operation", "instruction"),
    [
        ("ablate topic", "Do not discuss economics."),
        ("add topic by 2", "Discuss economics."),
        ("add topic by -40%", "Do not discuss economics."),
        ("clamp topic to 0; ablate topic[3]", "Do not discuss economics."),
        ("rotate plane(topic[3], pc1) to 90deg", None),
        ("clamp topic to 0", None),
    ],
)
def test_the_instruction_follows_from_the_operation(operation: str, instruction: str | None) -> None:
    assert [v.instruction for v in made(operation) if v.instruction] == ([instruction] if instruction else [])


@pytest.mark.parametrize(("data", "topic"), [("my_topic", "my topic"), ("few", "economics"), ("generic", "generic")])
def test_a_data_set_is_called_by_its_subject_or_its_name(data: str, topic: str) -> None:
    text = f"""
    dataset my_topic = "t.jsonl"
    dataset few = econ with take: 20
    other = extract diffmean from {data} vs my_topic_too
    steer s {{ ablate other }}
    evaluate s on {data}
    """.replace("my_topic_too", "my_topic" if data == "generic" else "generic")
    recipe, report = check_source(Source("r.steer", text))
    assert recipe is not None, report.found
    named = {getattr(step, "name", ""): step for step in recipe.steps}
    step, steer = recipe.steps[-1], named["s"]
    assert isinstance(step, r.Evaluate) and isinstance(steer, r.Steer)
    assert variants(step, steer, named, recipe.data)[-1].instruction == f"Do not discuss {topic}."


@pytest.mark.parametrize(
    ("controls", "names"),
    [
        ("", ["baseline", "s", "random", "prompted"]),
        (", controls: all", ["baseline", "s", "random", "prompted"]),
        (", controls: random", ["baseline", "s", "random"]),
        (", controls: prompting", ["baseline", "s", "prompted"]),
        (", controls: none", ["baseline", "s"]),
    ],
)
def test_controls_are_there_unless_switched_off(controls: str, names: list[str]) -> None:
    assert list(dict.fromkeys(v.name for v in made("ablate topic", controls))) == names


@pytest.mark.parametrize(("draws", "seeds"), [("", [0, 1, 2, 3, 4]), (", draws: 2", [0, 1]), (", draws: 1", [0])])
def test_every_draw_of_the_random_control_has_its_seed(draws: str, seeds: list[int]) -> None:
    found = [v for v in made("ablate topic", draws) if v.name == "random"]
    assert [v.draw for v in found] == seeds and [v.title for v in found] == [f"random, draw {i}" for i in seeds]


def test_an_instruction_that_is_given_is_taken() -> None:
    found = made("rotate plane(topic[3], pc1) to 90deg", ', instruction: "Be brief."')
    assert found[-1] == Variant("prompted", instruction="Be brief.")


def test_a_patch_has_no_random_control() -> None:
    found = made('patch from "The cat sat." at layer 2')
    assert [v.name for v in found] == ["baseline", "s"]
