"""Spellings from elsewhere lead to the right form at the first try: what the help says is a good recipe."""

from __future__ import annotations

import re

import pytest

from steerdsl import registry
from steerdsl.lang.check import check_source
from steerdsl.lang.source import Source
from steerdsl.registry import Kind

VECTOR = "topic = extract diffmean from econ vs generic\n"
# A statement with a mistake, and the place where the text that the help names goes: the marked part.
WRONG = (
    "ablate topic «at [6, 16, 22]»",
    "ablate topic «at [6]»",
    "ablate topic at layers «[6, 16, 22]»",
    "ablate topic «at 6, 16, 22»",
    "ablate topic «at (6, 16, 22)»",
    "ablate topic «at 6..10»",
    "ablate topic «at layers (6, 16)»",
    "ablate topic «at layers 6 16 22»",
    "ablate topic «at layers 6, 16 22»",
    "add topic «with strength 2»",
    "add topic «strength 2» at layer 3",
    "add topic «scale 10%»",
    "v = «diffmean(econ, generic)»",
    "v = «mean_diff(econ, generic)»",
    "v = «caa(econ)»",
    "«ablate at layers 12 topic»",
    "«add by 10% topic at layer 12»",
    "«add 10% topic at layer 12»",
    "«ablate everywhere topic[12]»",
    "«clamp to 3 topic»",
    "ablate topic at layers «10-20»",
    "ablate topic at layers «10–20»",
    "ablate topic at layers «10:20»",
    "ablate topic at layers «range(10,20)»",
    "ablate topic at layers «range(20)»",
    "ablate topic at layers «range(0, 20, 4)»",
    "ablate topic «at layers 10 to 20»",
    "ablate topic «on blocks.12.hook_resid_pre»",
    "ablate topic «on model.layers.12»",
    "ablate topic «on transformer.h.3.mlp»",
    "ablate topic on «blocks.12.attn.hook_z»",
    "ablate topic on «blocks.12.hook_mlp_out» at layer 12",
    'dataset d = «"C:\\data\\x.txt"»',
    'dataset d = «"C:\\new\\table.csv"»',
    'dataset d = «"data\\new.csv"»',
    "dataset d = «C:\\data\\x.txt»",
    "dataset d = «data/x.txt»",
    "dataset d = «cooking.txt»",
    "rotate plane(topic, pc1) by «90 degrees»",
    "rotate plane(topic, pc1) by «90 Degree»",
    "rotate plane(topic, pc1) by «90degrees»",
    "rotate plane(topic, pc1) by «0.5pi»",
    "rotate plane(topic, pc1) by «2 radians»",
    "ablate topic by «40 percent»",
    "add topic «alpha=2»",
    "add topic «alpha: -2»",
    "add topic «coeff = 2» at layer 12",
    "ablate topic «in layer 12»",
    "ablate topic «at all layers»",
    "ablate topic «at every layer»",
    "ablate topic «at layer: 12»",
    "ablate topic «at 12»",
    "v = extract «diffmean econ» vs generic",
    "v = extract «diffmean of econ» vs generic",
    "v = extract diffmean from «econ and generic»",
    "v = extract «diffmean(econ, generic)»",
    "best = «select layer of» topic by fisher",
    "best = select «layers from topic» by fisher",
    "«strength = 40%»",
)


def found(text: str) -> list[tuple[str, str | None]]:
    """The code and the help of every mistake in a recipe."""
    _, report = check_source(Source("x.steer", text))
    return [(d.code, d.help) for d in report.errors]


@pytest.mark.parametrize("marked", WRONG)
def test_the_help_is_the_right_form(marked: str) -> None:
    wrong = VECTOR + marked.replace("«", "").replace("»", "") + "\n"
    mistakes = found(wrong)
    assert len(mistakes) == 1, mistakes
    code, help = mistakes[0]
    assert help is not None
    right = re.search(r"`(.*?)`", help)
    assert right, f"{code} names no form: {help}"
    repaired = re.sub("«.*»", lambda _: right[1], marked)
    assert found(VECTOR + repaired + "\n") == [], f"{code} leads from {marked} to {repaired}"


@pytest.mark.parametrize("sign", [":", ":=", "==", ": ="])
def test_a_binding_has_one_sign(sign: str) -> None:
    assert found(f"v {sign} extract diffmean from econ vs generic\n") == [("S106", "write `v = extract …`")]


@pytest.mark.parametrize("layer", ["layer 12", "layers 12", "at layer 12", "at layers 12"])
def test_a_layer_needs_no_at(layer: str) -> None:
    assert found(f"{VECTOR}ablate topic {layer}\n") == []


ALIASES = [
    (kind, alias, name)
    for kind in ("extract", "select", "metric", "stream", "position")
    for name, entry in registry.entries(kind).items()
    for alias in entry.aliases
]
USED: dict[Kind, str] = {
    "extract": "v = extract {} from econ vs generic\n",
    "select": VECTOR + "best = select layers of topic by {}\n",
    "metric": VECTOR + "steer s {{ ablate topic }}\nscores = evaluate s on econ with {}\n",
    "stream": VECTOR + "ablate topic on {}\n",
    "position": "v = extract diffmean from econ vs generic at {}\n",
}


@pytest.mark.parametrize(("kind", "alias", "name"), ALIASES)
def test_what_others_call_it_is_known(kind: Kind, alias: str, name: str) -> None:
    assert alias not in registry.entries(kind)
    assert sum(alias in entry.aliases for entry in registry.entries(kind).values()) == 1
    assert f"did you mean `{name}`?" in [help for _, help in found(USED[kind].format(alias))]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ('{"a": 1}', "JSON"),
        ('[\n {"a": 1}]', "JSON"),
        ("a: 1\nb: 2\n", "YAML"),
        ("---\n- a\n", "YAML"),
        ("# a comment\nfrom torch import nn\n", "Python"),
        ("import torch as t\n", "Python"),
    ],
)
def test_another_language_is_one_mistake(text: str, language: str) -> None:
    _, report = check_source(Source("x.steer", text))
    assert [d.title for d in report.found] == [f"this is {language}, not a recipe"]


@pytest.mark.parametrize("text", ["", " \n\n", "# only a comment\n"])
def test_an_empty_recipe_is_a_mistake(text: str) -> None:
    assert [code for code, _ in found(text)] == ["S440"]


@pytest.mark.parametrize(
    "text", [r"Answer in steps.\nSay why.", r"one\ttwo.x", r"say \"no\" to x.md", r"C: is a drive.\n"]
)
def test_a_text_with_escapes_is_no_path(text: str) -> None:
    assert found(f'model "a/b" with system: "{text}"\n{VECTOR}ablate topic\n') == []
