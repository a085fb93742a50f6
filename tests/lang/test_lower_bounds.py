"""Numbers, paths and files without bounds: each is one message, quickly and in little memory."""

from __future__ import annotations

import posixpath
import sys
from itertools import product

import pytest

from steerdsl import registry
from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import render
from steerdsl.lang.source import Source
from steerdsl.registry import Arg, Kind

VECTOR = "v = extract diffmean from econ vs generic\n"
STEER = f"{VECTOR}steer s {{\n    ablate v\n}}\n"
HUGE = ("1e308 * 10", "-1e308 * 10", "1e308 + 1e308", "big", "2 * big")
# A statement for each kind of place where a number may stand.
PLACES = (
    "dataset d = econ with take: {}",
    "w = extract top_k from econ vs generic with k: {}",
    "w = extract diffmean from econ vs generic at token {}",
    "ablate v at layer {}",
    "ablate v at layers 1..{}",
    "ablate v at layers 1..4 step {}",
    "add v by {} at layer 1",
    "clamp v to {} at layer 1",
    "ablate v when proj() > {}",
    "ablate v when step < {}",
    "ablate v during generation first {}",
    "ablate v on head({}, 1)",
    "ablate v[{}]",
    "add ({}) * v by 1 at layer 1",
    "b = select layers of v by fisher keep top {}",
    "g = generate from econ with max_tokens: {}",
    "check cosine(v, v) > {}",
    "sweep z over {} {{ add v by z at layer 1 }}",
    "sweep z over 0..{} {{ add v by z at layer 1 }}",
    "param other = {}",
)


def codes(text: str) -> list[str]:
    _, report = check_source(Source("x.steer", text))
    return [d.code for d in report.errors]


@pytest.mark.parametrize(("place", "number"), [*product(PLACES, HUGE)])
def test_a_number_that_is_not_finite_is_an_error_wherever_it_stands(place: str, number: str) -> None:
    if "token" in place and number != "big":
        return  # a position takes a number or a param
    big = "param big = 1e300 * 1e300\n" if "big" in number else ""
    recipe, report = check_source(Source("x.steer", big + VECTOR + place.format(number) + "\n"))
    assert recipe is None
    assert "S305" in [d.code for d in report.errors], [d.title for d in report.errors]


def numbers(kind: Kind) -> list[tuple[str, Arg]]:
    return [
        (name, arg)
        for name, entry in registry.entries(kind).items()
        for arg in entry.args
        if arg.type in ("int", "number", "share") and (arg.least, arg.most, arg.below) != (None, None, None)
    ]


def outside(arg: Arg) -> list[str]:
    """Values just outside an argument's bounds, as they are written."""
    unit, scale = ("%", 100) if arg.type == "share" else ("", 1)
    edges = []
    if arg.least is not None:
        edges.append(arg.least - (1 if arg.type == "int" else 0.01))
    if arg.most is not None:
        edges.append(arg.most + (1 if arg.type == "int" else 0.01 * max(1.0, arg.most)))
    if arg.below is not None:
        edges.append(arg.below)
    return [f"{edge * scale:.12g}{unit}" for edge in edges]


USED: dict[Kind, str] = {
    "extract": "w = extract {name} from econ vs generic with {arg}: {value}\n",
    "select": "w = select layers of v by {name} with {arg}: {value}\n",
    "metric": 'sc = evaluate s on econ with {name}("x", {arg}: {value})\n',
    "position": "w = extract diffmean from econ vs generic at {name} {value}\n",
    "plane": "rotate plane(v, {name}, {arg}: {value}) by 3deg\n",
    "condition": "ablate v when {name} < {value}; ablate v when {name}() < {value}\n",
    "stream": "ablate v on {name}({value}, {value})\n",
}
BOUNDED = [(kind, name, arg) for kind in USED for name, arg in numbers(kind)]


@pytest.mark.parametrize(("kind", "name", "arg"), BOUNDED, ids=lambda x: getattr(x, "name", x))
def test_every_bound_of_the_registry_is_held(kind: Kind, name: str, arg: Arg) -> None:
    for value in outside(arg):
        text = STEER + USED[kind].format(name=name, arg=arg.name, value=value)
        assert "S305" in codes(text), text


# The bounds themselves, so that a bound that is moved is seen: least, most, below.
BOUNDS: dict[tuple[Kind, str, str], tuple[float | None, float | None, float | None]] = {
    ("statement", "check", "confidence"): (0, None, 1),
    ("statement", "dataset", "take"): (1, None, None),
    ("statement", "dataset", "seed"): (0, None, None),
    ("statement", "dataset", "held_out"): (0, None, 1),
    ("statement", "evaluate", "max_tokens"): (1, 1_000_000, None),
    ("statement", "evaluate", "temperature"): (0, 100, None),
    ("statement", "evaluate", "seed"): (0, None, None),
    ("statement", "evaluate", "references"): (1, 100, None),
    ("statement", "evaluate", "draws"): (1, 1000, None),
    ("statement", "generate", "max_tokens"): (1, 1_000_000, None),
    ("statement", "generate", "temperature"): (0, 100, None),
    ("statement", "generate", "n"): (1, 1000, None),
    ("statement", "generate", "seed"): (0, None, None),
    ("extract", "iterative", "k"): (1, None, None),
    ("extract", "iterative", "stop"): (0, None, None),
    ("extract", "probe", "C"): (1e-9, 1e9, None),
    ("extract", "random", "seed"): (0, None, None),
    ("extract", "sae", "feature"): (0, None, None),
    ("extract", "sae", "layer"): (0, None, None),
    ("extract", "top_k", "k"): (1, None, None),
    ("select", "dispersion", "deepest"): (0, None, 1),
    ("select", "refusal_selection", "max_kl"): (0, None, None),
    ("select", "refusal_selection", "deepest"): (0, None, 1),
    ("plane", "random", "seed"): (0, None, None),
    ("condition", "cos", "cos"): (-1, 1, None),
    ("condition", "step", "step"): (0, None, None),
    ("position", "suffix", "number"): (1, 1_000_000, None),
    ("position", "token", "number"): (-1_000_000, 1_000_000, None),
    ("stream", "head", "layer"): (0, None, None),
    ("stream", "head", "head"): (0, None, None),
    ("metric", "lm_eval", "limit"): (1, None, None),
    ("metric", "lm_eval", "num_fewshot"): (0, None, None),
}


@pytest.mark.parametrize(("kind", "name", "arg"), BOUNDS, ids=str)
def test_a_bound_is_what_it_was(kind: Kind, name: str, arg: str) -> None:
    found = registry.find(kind, name).arg(arg)
    assert found is not None and (found.least, found.most, found.below) == BOUNDS[kind, name, arg]


SEARCHED = (
    "v = extract diffmean from econ vs generic\n"
    "tune k over 0..4 {{ steer s {{ add v by k }}; sc = evaluate s on econ; {} bleu.econ with {{option}} }}\n"
)
STATEMENTS = {
    "orthogonalize": "v = extract diffmean from econ vs generic\n"
    "w = orthogonalize v against pcs of generic with {option}\n",
    "dataset": "dataset d = econ with {option}\n",
    "answers": "dataset d = answers to econ with {option}\n",
    "generate": "g = generate from econ with {option}\n",
    "evaluate": STEER + "sc = evaluate s on econ with bleu, {option}\n",
    "maximize": SEARCHED.format("maximize"),
    "minimize": SEARCHED.format("minimize"),
    "check": STEER + "sc = evaluate s on econ with bleu\ncheck sc.bleu.econ < random with {option}\n",
}
OF_STATEMENTS = numbers("statement")


@pytest.mark.parametrize(("name", "arg"), OF_STATEMENTS, ids=lambda x: getattr(x, "name", x))
def test_every_bound_of_a_statement_is_held(name: str, arg: Arg) -> None:
    for value in outside(arg):
        text = STATEMENTS[name].replace("{option}", f"{arg.name}: {value}")
        assert codes(text) == ["S305"], text


def test_a_seed_made_of_the_time_is_one() -> None:
    recipe, report = check_source(Source("x.steer", "g = generate from econ with seed: 20261130123456\n"))
    assert recipe is not None and not report.found
    assert recipe.steps[-1].seed == 20261130123456  # type: ignore[union-attr]


@pytest.mark.parametrize("controls", ["broken", "3", "[]", "3deg"])
def test_a_control_that_does_not_exist_is_an_error(controls: str) -> None:
    broken = "param broken = 1e308 * 10\n" if controls == "broken" else ""
    assert codes(f'{broken}{STEER}sc = evaluate s on econ with bleu, controls: {controls}, instruction: "Hi."\n')


# ---- outputs ----

NAMES = ("a.png", "b/a.png", "b/c/a.png", "A.PNG", "b", "a.png/x.png", "./a.png", "b/../a.png", "b//a.png")


@pytest.mark.parametrize(("first", "second"), [*product(NAMES, NAMES)])
def test_two_outputs_never_share_a_path(first: str, second: str) -> None:
    one, two = (posixpath.normpath(name).casefold() for name in (first, second))
    clash = one == two or one.startswith(two + "/") or two.startswith(one + "/")
    text = f'{STEER}export s to "{first}/"\nexport s to "{second}/"\n'
    assert ("S321" in codes(text)) == clash


OUT = ("", " ", ".", "./", "..", "../x", "a/../..", "/tmp/x", "~/x", "C:/x", "a" * 200, "b/" * 30 + "x")
OWN = ("record.json", "generations.jsonl", "scores.json", "report.html", "vectors", "vectors/topic", "Record.JSON/x")


@pytest.mark.parametrize("name", [*OUT, *OWN])
def test_an_output_stays_in_its_place(name: str) -> None:
    text = f'{STEER}export s to "{name}"\n'
    _, report = check_source(Source("x.steer", text), folders=("/tmp",))
    assert [d.code for d in report.errors] == ["S321"]


# ---- size ----


def test_a_chain_of_files_ends() -> None:
    def read(path: str) -> Source:
        number = int(path.removesuffix(".steer"))
        return Source(path, f'use "{number + 1}.steer"\n' if number < 400 else "param p = 1\n")

    recipe, report = check_source(Source("x.steer", f'use "0.steer"\n{VECTOR}ablate v\n'), read=read)
    assert recipe is None and [d.code for d in report.errors] == ["S320"]


LONG = ("}" * 10_000, "ablate " + "a" * 240_000 + " b", "x = " + "a + " * 60_000, "@" * 20_000)


@pytest.mark.parametrize("line", LONG, ids=("braces", "a name", "a sum", "signs"))
def test_a_long_line_is_shown_in_part(line: str) -> None:
    _, report = check_source(Source("x.steer", line))
    assert report.errors
    assert max(len(render(d)) for d in report.found) < 2_000
    shown, carets = render(report.errors[0]).splitlines()[3:5]
    assert "^" in carets and len(carets) <= len(shown) + 1


def test_the_part_that_is_shown_holds_the_place() -> None:
    text = "ablate v at layers 1 " + " " * 500 + "wrong" + " " * 500 + "\n"
    _, report = check_source(Source("x.steer", VECTOR + text))
    shown, carets = render(report.errors[0]).splitlines()[3:5]
    assert shown[carets.index("^") : carets.rindex("^") + 1] == "wrong"


EXTRACTS = {
    "right": "v{i} = extract diffmean from econ vs generic at token -{n}\n",
    "unused": "v{i} = extract diffmean from econ vs generic at token -{n}; steer s{i} {{ ablate v{i} }}\n",
    "wrong": "v{i} = extract difmean from econ vs generic at token -{n}\n",
    "broken": "v{i} = extract diffmean frm econ vs generic at token -{n}\n",
}


@pytest.mark.parametrize("line", EXTRACTS.values(), ids=EXTRACTS)
def test_checking_is_linear_in_the_length_of_a_recipe(line: str) -> None:
    """Counted in calls of functions, which no other load of the machine changes."""
    few, many = (calls_of("".join(line.format(i=i, n=i + 1) for i in range(count))) for count in (100, 400))
    assert many < 4.4 * few


def calls_of(text: str) -> int:
    """How many functions a check calls, and generators it resumes."""
    count = 0

    def called(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        check_source(Source("x.steer", text))
    finally:
        sys.setprofile(before)
    return count
