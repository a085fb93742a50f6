"""`{name}` in a cell: where it is a param, what its value may be, and that places lead back to what was typed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.grammar import keywords
from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source
from steerdsl.notebook.cell import Cell, read_cell
from steerdsl.pipeline import text_to_recipe

FIRST = "t = extract diffmean from econ vs generic\n"


def cell(text: str, **variables: Any) -> Cell:
    return read_cell(Source("In [3]", text), variables)


def params(text: str, **variables: Any) -> dict[str, str]:
    """The params of a cell that is a good recipe."""
    checked, found = text_to_recipe(Source("<recipe>", cell(text, **variables).recipe), Path())
    assert checked is not None, found
    return dict(checked.recipe.params)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2, "2"),
        (-2, "-2"),
        (0.5, "0.5"),
        (1e-7, "1e-07"),
        (np.float32(0.5), "0.5"),
        (np.int64(3), "3"),
        ("60%", "60%"),
        (" 60% ", "60%"),
        ("-5%", "-5%"),
        ("+5", "5"),
    ],
    ids=str,
)
def test_a_number_becomes_a_param(value: Any, text: str) -> None:
    assert params(FIRST + "add t by {much} at layer 1", much=value) == {"much": text}


def test_a_word_and_a_text_become_params() -> None:
    assert params("t = extract {how} from econ vs generic\nadd t by 1 at layer 1", how="diffmean") == {
        "how": "diffmean"
    }


@pytest.mark.parametrize("value", [None, True, [1], {}, (1, 2), float("nan"), float("inf"), np.zeros(2), len], ids=str)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        cell(FIRST + "add t by {much} at layer 1", much=value)
    (found,) = caught.value.diagnostics
    assert found.code == "R921" and found.labels[0].source.text[slice(*_ends(found))] == "{much}" and found.help


def _ends(found: Any) -> tuple[int, int]:
    return found.labels[0].span.start, found.labels[0].span.end


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_a_text_is_one_value_and_never_a_piece_of_a_recipe(text: str) -> None:
    """Whatever a variable holds, the recipe has one statement more, a param, and the rest is as it was."""
    try:
        recipe = cell("x = t[{much}]", much=text).recipe
    except RecipeError as error:  # nothing is refused but what no file can hold
        assert error.diagnostics[0].code == "R921"
        return
    file, report = parse(Source("r", recipe))
    assert not report.found and len(file.statements) == 2
    param = file.statements[0]
    assert isinstance(param, nodes.Param) and param.name.text == "much"
    if isinstance(param.value, nodes.Text):
        stripped = text.strip()
        assert param.value.value in (text, stripped[1:-1])


WHERE = [
    ("add t by {x} at layer 1", True),
    ("add t by { x } at layer 1", True),
    ("add t by 1 at layer {x}", True),
    ("add t[{x}] by 1", True),
    ('scores = evaluate s on econ with keyword_rate("econ"), max_tokens: {x}', True),
    ("sweep a over {x}, 3 { add t by a }", True),
    ("sweep a over {x}..{y} step {x} { add t by a }", True),
    ("plot pca(t) with layers: {x}", True),
    ('t = load "{x}"', False),
    ("add t by 1 # {x}", False),
    ("steer s {x}", False),
    ("steer s { x }", False),
    ("steer s {ablate}", False),
    ("sweep a over 1, 2 {ablate}", False),
    ("sweep a over 1, 2 { ablate }", False),
]


@pytest.mark.parametrize(("text", "taken"), WHERE, ids=[text for text, _ in WHERE])
def test_braces_are_a_variable_where_a_value_stands(text: str, taken: bool) -> None:
    """Texts, comments and blocks keep theirs."""
    made = cell(text, x=1, y=2, ablate=3)
    assert ("param x = 1\n" in made.recipe) == taken
    assert taken or made.recipe == text
    assert len(re.sub(r"(?m)^param [xy] = \d\n", "", made.recipe)) == len(text)


@pytest.mark.parametrize(
    "inside", ["", "x + 1", "x[0]", "x.y", "f(x)", "1", '"x"', "größe", *sorted(keywords().values())]
)
def test_only_a_name_may_stand_there(inside: str) -> None:
    text = FIRST + "add t by {" + inside + "} at layer 1"
    with pytest.raises(RecipeError) as caught:
        cell(text, x=1)
    (found,) = caught.value.diagnostics
    assert found.code == "R922" and found.help and text[slice(*_ends(found))] == "{" + inside + "}"


def test_a_variable_that_there_is_not() -> None:
    with pytest.raises(RecipeError) as caught:
        cell(FIRST + "add t by {strenth} at layer {other}", strength=1)
    first, second = caught.value.diagnostics
    assert (first.code, first.help) == ("R920", "did you mean `{strength}`?")
    assert second.help == "set it in Python first: `other = …`"


# A mistake, and the places that it names: line, column, what is marked there. `%%steer` is a line of the cell too.
MISTAKES = [
    ("t = extract difmean from econ vs generic\nadd t by {x} at layer 1", [(1, 13, "difmean")]),
    (f"edition 1\n{FIRST}add t by {{x}} at layer 99x", [(3, 23, "99x")]),
    (f"# a\nedition 1 # b\n{FIRST}add u by {{x}} at layer 1", [(4, 5, "u")]),
    (f"edition 1; {FIRST}add u by {{x}} at layer 1", [(2, 5, "u")]),
    ("t = extract diffmean from {x} vs generic\nadd t by 1 at layer 1", [(1, 28, "x")]),
    (f"{FIRST}add t by {{x}} at layer 1\n)", [(3, 1, ")")]),
    (f"param x = 3\n{FIRST}add t by {{x}} at layer 1", [(1, 7, "x"), (3, 10, "{x}")]),
]


@pytest.mark.parametrize(("text", "places"), MISTAKES, ids=[text for text, _ in MISTAKES])
@pytest.mark.parametrize("value", [3, "a long text that would shift what comes after it"], ids=str)
def test_a_mistake_has_its_place_in_the_cell(text: str, places: list[tuple[int, int, str]], value: Any) -> None:
    made = cell(text, x=value)
    _, found = text_to_recipe(Source("<recipe>", made.recipe), Path())
    shown = [
        [
            (*label.source.position(label.span.start), label.source.text[label.span.start : label.span.end])
            for label in made.told(one).labels
        ]
        for one in found
    ]
    assert [(line + 1, column, marked) for line, column, marked in places] in shown
    assert {label.source.name for one in found for label in made.told(one).labels} == {"In [3]"}


def test_the_params_stand_behind_the_edition() -> None:
    assert cell("# a\nedition 1\nadd t by {x}", x=2).recipe == "# a\nedition 1\nparam x = 2\nadd t by  x "
    assert cell("edition 1; add t by {x}", x=2).recipe == "edition 1;param x = 2\n add t by  x "
