"""What `eject` prints of an entry is its own function, without the package: the same numbers, bit for bit."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from steerdsl.eject import program, source
from steerdsl.eject.source import Key
from steerdsl.engine.moments import result, take
from steerdsl.lang.recipe import Strength
from steerdsl.methods import algebra
from steerdsl.methods.types import Candidates, Directions, Operand, Plane, Vector
from steerdsl.models.prompts import Rendered
from steerdsl.registry import Entry, Kind, entries, find

L, D = 12, 24
SEEDS = range(4)
PRINTED: tuple[Kind, ...] = ("extract", "select", "plane", "op", "condition", "position")
ENTRIES = [(kind, name) for kind in PRINTED for name in entries(kind)]


@cache
def printed(*roots: Key) -> ModuleType:
    """A module that has only what is printed of some names, with the names that it has in a program."""
    text = text_of(roots)
    module = ModuleType(f"printed_{abs(hash(roots))}")
    sys.modules[module.__name__] = module  # dataclasses look there
    exec(compile(text, module.__name__, "exec"), module.__dict__)
    return module


def text_of(roots: Sequence[Key]) -> str:
    found = program.printed(roots, {"answers"}).values()
    imports = {pair for item in found for pair in item.imports}
    lines = [f"from {module} import {name}" if name else f"import {module}" for module, name in sorted(imports)]
    return "\n".join(["from __future__ import annotations", *lines, *(f"\n\n{item.source}" for item in found)])


def own(kind: Kind, name: str) -> tuple[ModuleType, Callable[..., Any]]:
    """What is printed of an entry: its module, and its function."""
    module = printed(program.entry_key(kind, name), *extra(kind, name))
    return module, getattr(module, program.entry_names()[program.entry_key(kind, name)])


def extra(kind: Kind, name: str) -> list[Key]:
    return [program.prepare_key(name), ("steerdsl.lang.recipe_parts", "Strength")] if kind == "op" else []


def into(value: Any, module: ModuleType) -> Any:
    """A value made of the package's classes, as one made of the printed ones."""
    if is_dataclass(value) and not isinstance(value, type):
        made = {field.name: into(getattr(value, field.name), module) for field in fields(value)}
        return getattr(module, type(value).__name__)(**made)
    if isinstance(value, list | tuple):
        return type(value)(into(part, module) for part in value)
    if isinstance(value, Mapping):
        return {key: into(part, module) for key, part in value.items()}
    return value


def same(found: Any, expected: Any) -> None:
    """Two values are equal to the last bit; classes of both sides are told apart by their fields alone."""
    if isinstance(expected, Tensor):
        assert isinstance(found, Tensor) and found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    elif is_dataclass(expected):
        assert type(found).__name__ == type(expected).__name__
        for field in fields(expected):
            same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, Mapping):
        assert found.keys() == expected.keys()
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
    else:
        assert found == expected


def classes(seed: int) -> tuple[Any, Any]:
    """The statistics of two classes with paired rows, float64; some layers are alike in both."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    common = normal(L, 1, D) * 3
    gap = normal(L, 1, 1).exp() * normal(L, 1, D)
    gap[torch.rand(L, generator=draw) < 0.2] = 0
    spread = 0.3 * (gap.abs().amax(-1, keepdim=True) > 0)
    found = []
    for side in (1.0, 0.0):
        state: dict[str, Any] = {}
        for count in (5, 3, 1):
            take(state, common + side * gap + spread * normal(L, count, D), True)
        found.append(result(state))
    return found[0], found[1]


def vector(seed: int, k: int = 1) -> Vector:
    raw = torch.randn(L, k, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    norm = raw.norm(dim=-1)
    return Vector("v", Directions((raw / norm[..., None]).float(), norm), torch.arange(L), "resid_post")


# ---- every entry is printed, and stands alone ---------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_entry_is_printed_without_the_package(kind: Kind, name: str) -> None:
    text = text_of([program.entry_key(kind, name), *extra(kind, name)])
    imported = {
        module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert not any(module.split(".")[0] == "steerdsl" for module in imported)
    module, run = own(kind, name)
    assert run.__doc__ == find(kind, name).run.__doc__
    defined = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(defined) == len(set(defined)), "a name is defined twice"
    assert unknown(text, module) == set()


def unknown(text: str, module: ModuleType) -> set[str]:
    """Names that a text uses and that neither it nor Python defines."""
    tree = ast.parse(text)
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    stored |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    stored |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ExceptHandler) and n.name}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return used - stored - set(vars(module)) - set(dir(__import__("builtins")))


def test_what_a_program_calls_its_variables_hides_no_function() -> None:
    assert not program.LOCALS & (set(program.known()) | set(program.entry_names().values()))


def test_a_name_that_a_function_uses_itself_is_not_given_to_another() -> None:
    """`wire._edit` has a variable `keep_norm`, and calls the function of that name, which it imports as `rescale`."""
    text = text_of([("steerdsl.engine.edits", "make_edit")])
    assert "def rescale(before: Tensor" in text and "y = rescale(x, y)" in text and "def keep_norm" not in text


def test_two_definitions_of_one_name_get_two_names() -> None:
    text = text_of([("steerdsl.methods.algebra", "combine"), program.entry_key("plane", "mean_candidate")])
    assert text.count("\nCANCELLED = 1e-6") == text.count("\nCANCELLED_MEAN_CANDIDATE = 1e-6") == 1
    assert "<= CANCELLED * size" in text and "<= CANCELLED_MEAN_CANDIDATE * " in text


# ---- the same numbers ---------------------------------------------------------------------------


def extraction(entry: Entry, seed: int, folder: Path) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments for the function of a method of extraction."""
    if entry.name == "random":
        yield (), {"layers": range(L), "width": D, "seed": seed}
        yield (), {"layers": [3, 1], "width": D, "like": torch.tensor([2.0, 0.5], dtype=torch.float64)}
    elif entry.name == "sae":
        file = folder / "sae.safetensors"
        rows = torch.randn(7, D, generator=torch.Generator().manual_seed(seed))
        save_file({"W_dec": rows, "max_act": rows[:, 0].abs()}, file, {"layer": "3"})
        yield (), {"file": str(file), "feature": 4, "width": D}
    elif "recapture" in entry.needs:
        yield classes(seed), {"recapture": lambda q: classes(seed + 100 + q.shape[1]), "k": 3}
    else:
        yield classes(seed), {}
        for arg in entry.args:
            yield classes(seed), {arg.name: {"int": 2, "number": 0.5}[arg.type]}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", entries("extract"))
def test_directions(name: str, seed: int, tmp_path: Path) -> None:
    entry, (module, run) = find("extract", name), own("extract", name)
    for args, options in extraction(entry, seed, tmp_path):
        expected = entry.run(*args, **options)
        if again := options.get("recapture"):
            options = {**options, "recapture": partial(_again, again, module)}
        same(run(*into(args, module), **options), expected)
        assert expected.unit.any()


def _again(recapture: Callable[[Tensor], Any], module: ModuleType, q: Tensor) -> Any:
    return into(recapture(q), module)


class Model:
    """A model as a criterion sees it: its logits move along what is removed or added."""

    def figures(self, class_: str, trials: Sequence[Any], figure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        logits = torch.randn(4, D, generator=torch.Generator().manual_seed(len(class_)))
        moved = [
            logits - trial.ablate.sum(0) if trial.ablate is not None else logits + trial.add[1] for trial in trials
        ]
        return torch.stack([figure(logits, other) for other in moved])

    def first_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return [len(text) for text in texts]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", entries("select"))
def test_rankings(name: str, seed: int) -> None:
    entry, (module, run) = find("select", name), own("select", name)
    positive, negative = classes(seed)
    directions = find("extract", "diffmean").run(positive, negative)
    options = {"max_kl": 1e6, "min_induce": -1e6} if name == "refusal_selection" else {}
    found = Candidates(positive, negative, directions, torch.arange(L), L, "resid_post")
    printed_candidates = into(found, module)
    probe = Model() if "model" in entry.needs else None
    expected = entry.run(Candidates(positive, negative, directions, torch.arange(L), L, "resid_post", probe), **options)
    kept = {field.name: getattr(printed_candidates, field.name) for field in fields(printed_candidates)}
    same(run(type(printed_candidates)(**{**kept, "probe": probe}), **options), expected)
    assert len(expected.order) > 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", entries("plane"))
def test_planes(name: str, seed: int) -> None:
    entry, (_, run) = find("plane", name), own("plane", name)
    rows = vector(seed).directions.unit[:, 0].double()
    options = {"second": rows[8]} if name == "vector" else {}
    same(run(rows[7], rows, **options), entry.run(rows[7], rows, **options))


def plane(seed: int) -> Plane:
    rows = vector(seed).directions.unit[:, 0].double()
    made: Plane = find("plane", "pc1").run(rows[0], rows)
    return made


OPS: dict[str, list[dict[str, Any]]] = {
    "ablate": [{}, {"by": 0.3}, {"toward": "mean"}, {"toward": "mean", "alpha": 0.7}],
    "add": [{"by": Strength(-1.7, "raw")}, {"by": Strength(0.4, "share")}],
    "clamp": [{"to": 1.3}],
    "cap": [{"to": Strength(0.1, "unit")}],
    "patch": [{}],
    "rotate": [{"by": 0.0}, {"by": 1e-7}, {"by": 210.0}, {"to": 33.5}, {"to": -90.0}],
}


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", entries("op"))
def test_operations(name: str, k: int) -> None:
    entry, (module, run) = find("op", name), own("op", name)
    d = vector(3, 1 if name in ("clamp", "cap") else k).directions
    h = torch.randn(2, 5, D, generator=torch.Generator().manual_seed(1))
    operand = Operand(d.unit[4], d.raw_norm[4], plane=plane(k), mean=torch.arange(D).float(), rows=h[0] + 1)
    prepare = getattr(module, program.entry_names()[program.prepare_key(name)])
    for args in OPS[name]:
        expected = import_module(entry.run.__module__).prepare(operand, args)
        found = prepare(into(operand, module), into(args, module))
        same(found, expected)
        index = {"index": torch.tensor([[0, 1, -1, 2, 3]] * 2)} if name == "patch" else {}
        same(run(h, found | index), entry.run(h, expected | index))
        assert not torch.equal(entry.run(h, expected | index), h) or args.get("by", 1) in (0.0, 1e-7)


@pytest.mark.parametrize("name", entries("condition"))
def test_conditions(name: str) -> None:
    h = torch.randn(2, 5, D, generator=torch.Generator().manual_seed(1))
    h[0, 0] = 0
    read = torch.tensor(3.0) if name == "step" else vector(1).directions.unit[0, 0]
    same(own("condition", name)[1](h, read), find("condition", name).run(h, read))


@pytest.mark.parametrize("name", entries("position"))
def test_positions(name: str) -> None:
    module, run = own("position", name)
    prompt = Rendered("text", tuple(range(9)), (2, 5), "hash", (6, 9), tail=2)
    for number in (None, 1, 4) if name == "suffix" else (0, -2) if name == "token" else (None,):
        same(run(into(prompt, module), number), find("position", name).run(prompt, number))


def test_a_position_that_a_prompt_lacks_ends_the_program() -> None:
    module, run = own("position", "token")
    with pytest.raises(SystemExit, match=r"a prompt has 3 tokens, so there is no token 7 \(tokens are 0 to 2"):
        run(into(Rendered("abc", (1, 2, 3), (0, 3), "hash"), module), 7)


def test_sums_and_orthogonal_parts() -> None:
    module = printed(("steerdsl.methods.algebra", "combine"), ("steerdsl.methods.algebra", "orthogonalize"))
    a, b, c = vector(1), vector(2), vector(3, k=2)
    u, v, w = (into(x, module) for x in (a, b, c))
    same(module.combine("x", [(1.0, u), (-0.5, v)]), algebra.combine("x", [(1.0, a), (-0.5, b)]))
    same(module.orthogonalize("x", u, w), algebra.orthogonalize("x", a, c))
    with pytest.raises(module.MethodError, match="cancel"):
        module.combine("x", [(1.0, u), (-1.0, u)])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_is_refused(bad: float) -> None:
    module = printed(("steerdsl.methods.types", "Vector"))
    directions = module.Directions(torch.full((2, 1, 3), bad), torch.ones(2, 1))
    with pytest.raises(module.NotFinite, match=r"the direction of `v` is not finite at layer 4 and 1 more"):
        module.Vector("v", directions, torch.tensor([4, 5]), "resid_post")


# ---- following names ----------------------------------------------------------------------------


def test_the_kinds_that_are_printed_are_those_that_a_program_needs() -> None:
    assert set(get_args(Kind)) - set(PRINTED) == {"stream", "metric", "plot", "data", "statement"}


def test_every_name_that_a_program_calls_is_there_and_has_a_section() -> None:
    for key in [*program.known().values(), *program.entry_names()]:
        module, name = source.origin(*key)
        assert name in source.names(module), key
        assert program.section_of(module) in program.SECTIONS
    for part in (part for group in program.SECTIONS.values() for part in group):
        assert import_module(part), "a room was renamed: rename it in SECTIONS"


def test_imports_inside_functions_go_to_the_top() -> None:
    found = source.definition("steerdsl.methods.extract.random", "gaussian")
    assert "import" not in found.source
    assert found.imports == {
        ("torch", ""),
        ("numpy.random", "Generator"),
        ("numpy.random", "Philox"),
        ("torch", "Tensor"),
    }


def test_a_line_of_another_feature_is_left_out() -> None:
    steered = source.definition("steerdsl.eject.parts.generation", "decode", {"steered"}).source
    plain = source.definition("steerdsl.eject.parts.generation", "decode").source
    assert "visit(" in steered and "touches" in steered and "# if:" not in steered + plain
    assert "visit(" not in plain and "touches" not in plain
