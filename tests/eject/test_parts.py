"""The definitions of ejected programs are the registry's methods in other words: same numbers, bit for bit."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from steerdsl.eject import source
from steerdsl.eject.parts import algebra as parts_algebra
from steerdsl.eject.parts import extract as parts_extract
from steerdsl.eject.parts import planes as parts_planes
from steerdsl.eject.parts import select as parts_select
from steerdsl.eject.parts import tensors as parts_tensors
from steerdsl.eject.parts.reading import Statistics
from steerdsl.eject.parts.settings import N_LAYERS
from steerdsl.eject.parts.vectors import Vector as PartsVector
from steerdsl.engine.moments import result, take
from steerdsl.lang.recipe import Strength
from steerdsl.methods import algebra
from steerdsl.methods.types import Candidates, Directions, MethodError, Operand, Vector
from steerdsl.registry import entries, find

D = 24
SEEDS = range(20)


def same(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def batches(seed: int, classes: int = 2) -> list[list[Tensor]]:
    """Activations of some classes in batches of unequal size, float64 [L, B, d]; some layers are alike in both."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    scale = normal(N_LAYERS, 1, 1).exp()
    common = normal(N_LAYERS, 1, D) * 3
    gap = normal(N_LAYERS, 1, 1).exp() * normal(N_LAYERS, 1, D)
    gap[torch.rand(N_LAYERS, generator=draw) < 0.2] = 0
    spread = normal(N_LAYERS, 1, 1).exp() * (gap.abs().amax(-1, keepdim=True) > 0)
    return [
        [scale * (common + c * gap + spread * normal(N_LAYERS, count, D)) for count in (5, 3, 1)]
        for c in range(classes)
    ]


def classes(seed: int) -> tuple[list[Statistics], list[Any]]:
    """Both classes, as a program keeps them and as the engine does."""
    ours, theirs = [], []
    for batch_list in batches(seed):
        a, b = Statistics(), dict[str, Any]()
        for x in batch_list:
            a.add(x)
            take(b, x, False)
        ours.append(a)
        theirs.append(result(b))
    return ours, theirs


def vector(seed: int, k: int = 1) -> tuple[PartsVector, Vector]:
    draw = torch.Generator().manual_seed(seed)
    raw = torch.randn(N_LAYERS, k, D, generator=draw, dtype=torch.float64)
    norm = raw.norm(dim=-1)
    unit = (raw / norm[..., None]).float()
    layers = list(range(N_LAYERS))
    return PartsVector(layers, unit, norm), Vector("v", Directions(unit, norm), torch.tensor(layers), "resid_post")


@pytest.mark.parametrize("seed", SEEDS)
def test_statistics_are_the_engines(seed: int) -> None:
    ours, theirs = classes(seed)
    for a, b in zip(ours, theirs, strict=True):
        assert a.n == b.n == 9
        same(a.mean, b.mean)
        same(a.squares / (a.n - 1), b.variance)
        same(a.median_norm(), b.median_norm)


@pytest.mark.parametrize("seed", SEEDS)
def test_diffmean(seed: int) -> None:
    ours, theirs = classes(seed)
    found = parts_extract.diffmean(*ours, range(N_LAYERS))
    expected = find("extract", "diffmean").run(*theirs)
    same(found.unit, expected.unit)
    same(found.raw_norm, expected.raw_norm)
    assert not found.unit.any(dim=-1).all(), "some layers of this test have no direction"


def test_random() -> None:
    like, engine_like = vector(1, k=2)
    raw = (engine_like.directions.raw_norm[..., None] * engine_like.directions.unit.double()).sum(dim=1)
    found = parts_extract.random(range(N_LAYERS), D, seed=5, like=like)
    expected = find("extract", "random").run(layers=range(N_LAYERS), width=D, seed=5, like=raw.norm(dim=-1))
    same(found.unit, expected.unit)
    same(found.raw_norm, expected.raw_norm)
    same(parts_extract.random([3], D).unit, find("extract", "random").run(layers=[3], width=D).unit)


@pytest.mark.parametrize("criterion", ["dispersion", "max_norm"])
@pytest.mark.parametrize("seed", SEEDS)
def test_layers_are_ranked_as_by_the_registry(seed: int, criterion: str) -> None:
    ours, theirs = classes(seed)
    directions = find("extract", "diffmean").run(*theirs)
    made = parts_extract.diffmean(*ours, range(N_LAYERS))
    layers = torch.arange(N_LAYERS)
    candidates = Candidates(*theirs, directions, layers, N_LAYERS, "resid_post")
    expected = find("select", criterion).run(candidates).order
    statistics = ours if "positive" in source.parameters("select", criterion) else []
    assert getattr(parts_select, criterion)(made, *statistics, made.layers) == expected
    assert len(expected) > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_planes(seed: int) -> None:
    ours, theirs = vector(seed)
    first = ours.one(7)
    among = parts_planes.candidates(ours, range(2, 20))
    d = theirs.directions
    rows = (d.unit.double() * d.raw_norm[..., None])[2:20, 0]
    rows = rows / rows.norm(dim=-1)[:, None]
    same(among, rows)
    for found, kind, options in (
        (parts_planes.plane_pc1(first, among), "pc1", {}),
        (parts_planes.plane_random(first, seed=seed), "random", {"seed": seed}),
        (parts_planes.plane_vector(first, ours.one(8)), "vector", {"second": ours.one(8).double()}),
    ):
        expected = find("plane", kind).run(first.double(), rows, **options)
        same(found, torch.stack([expected.b1, expected.b2]))


def test_a_flat_plane_is_refused_by_both() -> None:
    first = torch.ones(D, dtype=torch.float64)
    nearly = first.clone()
    nearly[0] += 1e-3
    with pytest.raises(SystemExit, match="nearly the same"):
        parts_planes.plane_vector(first, nearly)
    with pytest.raises(MethodError):
        find("plane", "vector").run(first, first[None], second=nearly)


@pytest.mark.parametrize(
    ("op", "given", "args"),
    [
        ("ablate", {}, {}),
        ("ablate", {"by": 0.3}, {"by": 0.3}),
        ("ablate", {"toward": torch.arange(D).float()}, {"toward": "mean"}),
        ("ablate", {"toward": torch.arange(D).float(), "alpha": 0.7}, {"toward": "mean", "alpha": 0.7}),
        ("add", {"times": -1.7}, {"by": Strength(-1.7, "raw")}),
        ("add", {"share": 0.4}, {"by": Strength(0.4, "share")}),
        ("clamp", {"to": 1.3}, {"to": 1.3}),
        ("cap", {"to": 1.3}, {"to": 1.3}),
    ],
)
@pytest.mark.parametrize("k", [1, 3])
def test_what_kernels_read(op: str, given: dict[str, Any], args: dict[str, Any], k: int) -> None:
    if op in ("clamp", "cap") and k > 1:
        return
    unit, norm = vector(3, k)[0].at(11)
    raw = {"norm": norm} if op == "add" or "alpha" in given else {}
    found = getattr(parts_tensors, f"{op}_tensors")(unit, **raw, **given)
    operand = Operand(unit=unit, norm=norm, mean=given.get("toward"))
    expected = import_module(find("op", op).run.__module__).prepare(operand, args)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        same(tensor, expected[name])


@pytest.mark.parametrize("angle", [0.0, 1e-7, 33.5, 210.0, -90.0])
@pytest.mark.parametrize("word", ["by", "to"])
def test_what_a_rotation_reads(word: str, angle: float) -> None:
    basis = parts_planes.plane_random(torch.ones(D))
    plane = find("plane", "random").run(torch.ones(D).double(), torch.ones(1, D).double())
    found = parts_tensors.rotate_tensors(basis, **{word: angle})
    expected = import_module(find("op", "rotate").run.__module__).prepare(Operand(plane=plane), {word: angle})
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        same(tensor, expected[name])


def test_sums_and_orthogonal_parts() -> None:
    (a, u), (b, v), (c, w) = vector(1), vector(2), vector(3, k=2)
    found = parts_algebra.combine([(1.0, a), (-0.5, b)], "text")
    expected = algebra.combine("x", [(1.0, u), (-0.5, v)])
    same(found.unit, expected.directions.unit)
    same(found.raw_norm, expected.directions.raw_norm)
    found = parts_algebra.orthogonalize(a, c, "text")
    expected = algebra.orthogonalize("x", u, w)
    same(found.unit, expected.directions.unit)
    same(found.raw_norm, expected.directions.raw_norm)
    with pytest.raises(SystemExit, match="cancel"):
        parts_algebra.combine([(1.0, a), (-1.0, a)], "text")


def test_what_is_written_is_in_the_registry() -> None:
    """A part whose method was renamed would never be used."""
    assert {"diffmean", "random"} == set(source.names("extract")) & set(entries("extract"))
    assert {"dispersion", "max_norm"} == set(source.names("select")) & set(entries("select"))
    kinds = {name.removeprefix("plane_") for name in source.names("planes") if name.startswith("plane_")}
    assert kinds == {"pc1", "vector", "random"} <= set(entries("plane"))
    assert {name.removesuffix("_tensors") for name in source.names("tensors")} == set(entries("op")) - {"patch"}
