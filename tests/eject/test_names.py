"""Names of a recipe that an ejected program uses for things of its own."""

from __future__ import annotations

import ast
import importlib.util
import symtable
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_folder

from steerdsl.eject import program as programs
from steerdsl.eject import source
from steerdsl.eject.write import program
from steerdsl.lang.source import Source
from steerdsl.pipeline import recipe_to_plan, text_to_recipe
from steerdsl.planning.plan import RunOptions

# Every kind of thing that a program has of its own: methods, a criterion that tries directions, planes, patches,
# conditions, samples that are drawn, a sweep, arithmetic.
MUCH = """
dataset zz_e = econ with take: 20
dataset zz_g = generic with take: 20
zz_a = extract pca_diff from zz_e vs zz_g at token -2
zz_i = extract iterative from zz_e vs zz_g at last_token with k: 2
zz_c = extract leace from zz_e vs zz_g at all
zz_p = extract probe from zz_e vs zz_g at suffix 2 on mlp_out
zz_l = extract lda from zz_e vs zz_g at mean_content
zz_h = extract diffmean from zz_e vs zz_g at mean_prompt on head(1, 2)
zz_n = extract random with like: zz_a, seed: 3
zz_sum = zz_a - 0.5 * zz_n
zz_rest = orthogonalize zz_n against zz_a
zz_late = zz_a[1,2]
zz_best = select layers of zz_a by fisher keep top 2
zz_other = select layers of zz_l by refusal_selection with max_kl: 1000, min_induce: -1000, tokens: "a,b", deepest: 0%
zz_plane = plane(zz_a[1], pc1, candidates: samples)
zz_turn = plane(zz_a[1], zz_n[2])
steer zz_s {
    patch from "What is inflation?" on resid_mid at layers 1..2
    patch from "Why?" with align: start on head(1, 2)
    ablate zz_i[zz_best] everywhere when cos(zz_a[1]) > -0.9 at layer 1
    ablate zz_a toward mean(zz_g) with alpha: 0.5 at layers 0..1 keep norm
    clamp zz_h to 3 on head(1, 2)
    cap zz_a[1] to 0.5 at layer 2 when proj(zz_a) > 0.1 when step < 4
    add zz_l by 150% at layers zz_other during generation
    rotate zz_plane by 60deg at layer 1
    rotate plane(zz_l, pc1, candidates: samples) to 30deg at layer 2 adaptive
}
zz_out = generate from zz_e.held_out with steer: zz_s, max_tokens: 6, temperature: 0.8, n: 2, seed: 4
zz_scores = evaluate zz_s on zz_e.held_out, zz_g.held_out with bleu, max_tokens: 8
sweep zz_at over 0..2 { steer zz_t { ablate zz_a[zz_at] by 75% everywhere }
    zz_swept = generate from zz_e.held_out with steer: zz_t, max_tokens: 6 }
"""
# How a recipe may name a thing, with what the name is used for behind it.
ROLES = {
    "vector": "{0} = extract diffmean from zz_e vs zz_g at last_token; steer zz_by_{1} {{ add {0} by 1 at layer 1 }}",
    "sum": "{0} = zz_a + zz_n",
    "plane": "{0} = plane(zz_a[1], zz_n[2]); steer zz_by_{1} {{ rotate {0} by 60deg at layer 1 }}",
    "select": "{0} = select layers of zz_l by max_norm; steer zz_by_{1} {{ add zz_l by 1 at layers {0} }}",
    "steer": "steer {0} {{ add zz_a[1] by 1 at layer 1 }}; zz_by_{1} = generate from zz_e with steer: {0}",
    "dataset": "dataset {0} = econ with take: 20; zz_by_{1} = generate from {0} with max_tokens: 2",
    "generate": "{0} = generate from zz_e with max_tokens: 2",
    "axis": "sweep {0} over 0..1 {{ steer zz_by_{1} {{ ablate zz_a[{0}] everywhere }} }}",
}
Eject = Callable[[str], str]
OTHER = ast.Attribute | ast.keyword


@pytest.fixture(scope="module")
def eject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Eject]:
    """The text of a recipe's program for a tiny model."""
    folder = tmp_path_factory.mktemp("names")
    tiny_folder(folder / "model")
    options = RunOptions(model=str(folder / "model"), dtype="float32", batch_size=8, device="cpu")

    def made(recipe: str) -> str:
        checked, found = text_to_recipe(Source("names.steer", recipe), folder)
        assert checked is not None, [d.title for d in found if d.severity == "error"]
        return program(recipe_to_plan(checked, options, fetch=True).plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEERDSL_CACHE", str(folder / "cache"))
        yield made


@pytest.fixture(scope="module")
def names(eject: Eject) -> Sequence[str]:
    """Whatever a large program has a name for, at the top and in the functions that are written for a recipe, and
    what any program may: but for words of the language, which no recipe may use."""
    text = eject(MUCH)
    inner = {name for scope in written(text) for name in scope.get_locals()}
    found = {*source.defined(text), *inner, *programs.LOCALS, *programs.known(), "error", "__name__", "str"}
    found |= {f"steer_{name}" for name in ("zz_s", "zz_by_0", "Path")} | {"ZZ_E", "ZZ_E_TRAIN", "zz_e_"}
    found |= {name.lower() for name in found}
    return sorted(name for name in found if not name.startswith("zz_") and allowed(name))


def allowed(name: str) -> bool:
    recipe = f"v = extract diffmean from econ vs generic; steer {name} {{ add v by 1 at layer 1 }}"
    return text_to_recipe(Source("names.steer", recipe), Path())[0] is not None


def written(text: str) -> Iterator[symtable.SymbolTable]:
    """The functions that are written for a recipe: `main`, those of steers, and those inside them."""
    waiting = [
        scope
        for scope in symtable.symtable(text, "names.py", "exec").get_children()
        if scope.get_name() == "main" or scope.get_name().startswith("steer_")
    ]
    while waiting:
        scope = waiting.pop()
        waiting += scope.get_children()
        yield scope


def own_names(node: ast.AST) -> list[str]:
    """What a part of a program names, place by place, but for attributes and keywords."""
    found = []
    for inner in ast.walk(node):
        match inner:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                found.append(name)
            case ast.alias(name=name, asname=other):
                found.append(other or name)
    return found


def other_names(node: ast.AST) -> list[str]:
    return [x.attr if isinstance(x, ast.Attribute) else str(x.arg) for x in ast.walk(node) if isinstance(x, OTHER)]


def of_recipe(node: ast.stmt) -> bool:
    """Whether a part of the program of plain names is written for the recipe."""
    return any(name.startswith(("main", "steer_z", "ZZ_", "ZY_")) for name in own_names(node)[:1])


@pytest.mark.parametrize("role", ROLES)
def test_a_name_of_a_recipe_never_stands_for_two_things(eject: Eject, names: Sequence[str], role: str) -> None:
    """The program is the one of a recipe with plain names, in which each has been replaced at each of its places."""

    def recipe(names: Sequence[str]) -> str:
        return MUCH + "\n".join(ROLES[role].format(name, number) for number, name in enumerate(names))

    assert {"Path", "warnings", "argparse", "MODEL", "DEVICE", "Tensor", "basis", "tensors", "_point"} <= {*names}
    plain, odd = eject(recipe([f"zy_{i}" for i in range(len(names))])), eject(recipe(names))
    pairs = []
    for before, after in zip(ast.parse(plain).body, ast.parse(odd).body, strict=True):
        assert other_names(before) == other_names(after)
        if of_recipe(before):
            pairs += zip(own_names(before), own_names(after), strict=True)
        else:
            assert own_names(before) == own_names(after)
            pairs += [(name, name) for name in source.defined(ast.unparse(before))]
    assert len({*pairs}) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    defined = list(source.defined(odd))
    assert len(defined) == len({*defined}), "something is defined twice"
    for scope in written(odd):
        assert not {*scope.get_locals()} & {*defined}, scope.get_name()


@pytest.mark.parametrize("name", ["Path", "warnings"])
def test_a_program_with_such_names_runs(eject: Eject, name: str, tmp_path: Path, monkeypatch: Any) -> None:
    recipe = (
        f"dataset g = generic with take: 20\n{name} = extract diffmean from g vs econ at last_token\n"
        f"steer {name}_ {{ ablate {name} at layer 1 }}\n"
        f"{name}__ = generate from g with steer: {name}_, max_tokens: 2"
    )
    file = tmp_path / "odd.py"
    file.write_text(eject(recipe), "utf-8")
    spec = importlib.util.spec_from_file_location("odd", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "odd", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr("sys.argv", ["odd", "--out", str(tmp_path / "out")])
    module.main()
    assert (tmp_path / "out" / "vectors" / f"{name}.safetensors").is_file()
    assert (tmp_path / "out" / "generations.jsonl").stat().st_size > 0
