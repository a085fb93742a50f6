"""The names of operations are reserved nowhere: they mean something at the start of a statement alone."""

from __future__ import annotations

from itertools import product

import pytest

from steerdsl.lang import nodes
from steerdsl.lang.check import check_source
from steerdsl.lang.complete import completions
from steerdsl.lang.diagnostics import render
from steerdsl.lang.format import format_source
from steerdsl.lang.grammar import keywords, verbs
from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source

VECTOR = "v = extract diffmean from econ vs generic\n"
# Recipes with a name of their own, NAME, wherever one may stand: first on a line, too.
PLACES = (
    "NAME = extract diffmean from econ vs generic\nablate NAME at layers 3\nablate NAME[3] everywhere\n",
    "NAME = extract diffmean from econ vs generic\nother = NAME - 0.5 * NAME\nablate other\n",
    "NAME = extract diffmean from econ vs generic\nturn = plane(\n    NAME\n, pc1)\nrotate turn by 3deg\n",
    f"param NAME = 10%\n{VECTOR}add v by NAME at layer 1\n",
    f"dataset NAME = econ\n{VECTOR}steer s {{ ablate v }}\nevaluate s on generic,\n    NAME\n    with bleu\n",
    "dataset NAME = econ with take: 9\nout = generate from NAME with max_tokens: 3,\n    n: 1\n",
    f"{VECTOR}steer NAME {{ ablate v }}\nscores = evaluate NAME on econ with bleu\ncheck scores.bleu < 5\n",
    f"{VECTOR}sweep NAME over 1..3 {{ ablate v at layers NAME }}\n",
    f"{VECTOR}NAME = select layers of v\nablate v at layers 3,\n    NAME\n    during prompt\n",
    f"{VECTOR}NAME = plane(v, pc1)\nrotate NAME by 30deg at layers 3\nplot plane(NAME)\n",
)


@pytest.mark.parametrize(("place", "verb"), [*product(PLACES, verbs())])
def test_a_recipe_may_call_its_own_things_so(place: str, verb: str) -> None:
    (plain, said), (own, found) = (
        check_source(Source("x.steer", place.replace("NAME", name))) for name in ("plain", verb)
    )
    assert "".join(render(d) for d in said.errors + found.errors) == ""
    assert repr(own) == repr(plain).replace("plain", verb)
    text, _ = format_source(Source("x.steer", place.replace("NAME", verb)))
    assert check_source(Source("x.steer", text))[0] == own


def test_no_operation_is_a_word_of_the_grammar() -> None:
    assert not {*verbs()} & {*keywords().values()}


@pytest.mark.parametrize("before", ["", "x = foo(a", "x = foo(a,", "out = generate from econ,"])
@pytest.mark.parametrize(
    "operation", ["{} topic at layers 3", "{} topic[3] everywhere", "{} plane(topic, pc1) to 3deg"]
)
@pytest.mark.parametrize("verb", verbs())
def test_an_operation_begins_a_statement_whatever_is_left_open_above(verb: str, operation: str, before: str) -> None:
    """One mistake hides no other statement: an operation on a line of its own is always read as one."""
    file, _ = parse(Source("x.steer", f"{before}\n{operation.format(verb)}\n"))
    assert isinstance(file.statements[-1], nodes.Operation) and file.statements[-1].verb == verb


def test_a_verb_is_offered_where_a_statement_may_begin_and_nowhere_else() -> None:
    assert "ablate" in completions(Source("x", "a"), 1)
    assert "ablate" not in completions(Source("x", "t = a"), 5)
