"""`sd` and `dose` behind a strength: what they mean there, and names of one's own everywhere else."""

from __future__ import annotations

from itertools import product

import pytest
from lowering import TOPIC, messages, steps
from pygments.token import Keyword
from test_verbs import PLACES

from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import render
from steerdsl.lang.format import format_source
from steerdsl.lang.highlight import SteerLexer
from steerdsl.lang.recipe import Steer, Strength
from steerdsl.lang.source import Source

WORDS = ("sd", "dose")
STRENGTHS = {
    "2 sd": Strength(2, "sd"),
    "-1.5 sd": Strength(-1.5, "sd"),
    "(0.5 * 4) sd": Strength(2, "sd"),
    "1 + 1 sd": Strength(2, "sd"),
    "s sd": Strength(3, "sd"),
    "-2 * s sd": Strength(-6, "sd"),
    "30% dose": Strength(0.3, "dose"),
    "30%dose": Strength(0.3, "dose"),
    "t dose": Strength(0.25, "dose"),
    "t - 50% dose": Strength(-0.25, "dose"),
    "0% dose": Strength(0, "dose"),
}


@pytest.mark.parametrize("written", STRENGTHS)
@pytest.mark.parametrize("line", ["add topic by {} at layer 12", "add topic at layer 12 by {} keep norm", "add by {}"])
def test_a_strength_has_the_measure_behind_it(line: str, written: str) -> None:
    text = f"param s = 3\nparam t = 25%\n{TOPIC}steer x {{ {line.format(written)} }}\n"
    (steer,) = steps(text, Steer)
    assert isinstance(steer, Steer) and steer.ops[0].args["by"] == STRENGTHS[written]
    printed, _ = format_source(Source("x.steer", text))
    (again,) = steps(printed, Steer)
    assert isinstance(again, Steer) and again.ops[0].args == steer.ops[0].args
    assert format_source(Source("x.steer", printed))[0] == printed


OWN = (
    *PLACES,
    "param NAME = 3\nv = extract diffmean from econ vs generic\nadd v by NAME at layer 1\nadd v by NAME\n",
    "param NAME = 3\nv = extract diffmean from econ vs generic\nadd v by NAME sd at layer 1\n",
    "NAME = extract diffmean from econ vs generic\nadd NAME by 2 sd at layer 1\nadd NAME by -30% dose\n",
)


@pytest.mark.parametrize(("place", "word"), [*product(OWN, WORDS)])
def test_a_recipe_may_call_its_own_things_so(place: str, word: str) -> None:
    (plain, said), (own, found) = (
        check_source(Source("x.steer", place.replace("NAME", name))) for name in ("plain", word)
    )
    assert "".join(render(d) for d in said.errors + found.errors) == ""
    assert own is not None and plain is not None
    assert [type(step) for step in own.steps] == [type(step) for step in plain.steps]
    assert check_source(Source("x.steer", format_source(Source("x.steer", place.replace("NAME", word)))[0]))[0] == own


@pytest.mark.parametrize("word", WORDS)
def test_the_word_has_the_colour_of_a_clause_where_it_measures(word: str) -> None:
    text = f"{word} = extract diffmean from econ vs generic\nadd {word} by {2 if word == 'sd' else '2%'} {word}\n"
    kinds = [kind for _, kind, piece in SteerLexer().get_tokens_unprocessed(text) if piece == word]
    assert [kind in Keyword for kind in kinds] == [False, False, True]


AMOUNTS = ("ablate topic by 50% {}", "rotate plane(topic, pc1) by 5deg {}", "clamp topic to 3 {}", "cap topic to 3 {}")


@pytest.mark.parametrize(("line", "word"), [*product(AMOUNTS, WORDS)])
def test_no_other_amount_is_measured_so(line: str, word: str) -> None:
    (found,) = messages(f"{TOPIC}{line.format(word)} at layer 3\n")
    assert found.startswith("error[S331]")


UNREAD = {
    'old = load "old.gguf"': "old",
    'old = load "old.safetensors"\nhalf = 0.5 * old': "half",
    'old = load "old.safetensors"\nrest = orthogonalize topic against old': "rest",
    'old = load "old.safetensors"\nalike = extract random with like: old': "alike",
    "noise = extract random": "noise",
    "noise = extract random with seed: 2": "topic - noise",
    'row = extract sae with file: "sae.safetensors", feature: 3': "row",
}


@pytest.mark.parametrize(("made", "vector"), UNREAD.items())
@pytest.mark.parametrize("strength", ["2 sd", "30% dose"])
def test_a_vector_without_training_prompts_is_refused(made: str, vector: str, strength: str) -> None:
    found = messages(f"{TOPIC}{made}\nadd {vector} by {strength} at layer 3\n")
    assert [m[:11] for m in found if m.startswith("error")] == ["error[S332]"], found
