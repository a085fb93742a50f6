"""Every kind of plane against numpy arithmetic, with its sign and orientation rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from classes import unit

from steerdsl.methods.axes import apart
from steerdsl.methods.ops.rotate import prepare, run
from steerdsl.methods.types import MethodError, Operand, Plane
from steerdsl.registry import entries, find

RNG = np.random.default_rng(0)
FIRST = RNG.normal(size=30)
CANDIDATES = unit(FIRST + RNG.normal(size=(12, 30)))


def plane(kind: str, first: np.ndarray = FIRST, candidates: np.ndarray = CANDIDATES, **options: object) -> Plane:
    return find("plane", kind).run(torch.from_numpy(first), torch.from_numpy(candidates), **options)


def options(kind: str) -> dict[str, object]:
    return {"second": torch.from_numpy(CANDIDATES[3])} if kind == "vector" else {}


def components(candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All principal axes, the largest first, and variances; along each the mean of the later half of the
    candidates is above the mean of all."""
    values, vectors = np.linalg.eigh(np.cov(candidates.T))
    axes = vectors.T[::-1]
    signs = np.sign(axes @ (candidates[len(candidates) // 2 :].mean(0) - candidates.mean(0)))
    return axes * signs[:, None], values[::-1]


def across(s: np.ndarray, b1: np.ndarray) -> np.ndarray:
    return unit(s - (s @ b1) * b1)


def test_pc1() -> None:
    axes, variances = components(CANDIDATES)
    got = plane("pc1")
    np.testing.assert_allclose(got.b1, unit(FIRST), atol=1e-12)
    np.testing.assert_allclose(got.b2, across(axes[0], unit(FIRST)), atol=1e-10)
    assert got.explained == pytest.approx(variances[0] / variances.sum())
    assert got.meta["sign_rule"] == "positive toward the mean of the later half of the candidates"


def test_mean_candidate() -> None:
    axes, variances = components(CANDIDATES)
    got = plane("mean_candidate")
    b1 = unit(CANDIDATES.mean(0))
    np.testing.assert_allclose(got.b1, b1, atol=1e-12)
    np.testing.assert_allclose(got.b2, across(axes[0], b1), atol=1e-10)
    assert got.explained == pytest.approx(variances[0] / variances.sum())
    assert got.meta["cosine_with_first"] == pytest.approx(b1 @ unit(FIRST))


def test_last2pc() -> None:
    """Twelve candidates have eleven components; the last two are numbers ten and eleven."""
    axes, variances = components(CANDIDATES)
    got = plane("last2pc")
    np.testing.assert_allclose(got.b1, axes[9], atol=1e-8)
    np.testing.assert_allclose(got.b2, axes[10], atol=1e-8)
    assert got.explained == pytest.approx(variances[9:11].sum() / variances.sum())


def test_random() -> None:
    got, other = plane("random"), plane("random", seed=1)
    g = np.random.Generator(np.random.Philox(key=[0, 2**63])).standard_normal(30)
    np.testing.assert_allclose(got.b2, across(g, unit(FIRST)), atol=1e-12)
    assert abs(float(got.b2 @ other.b2)) < 0.9 and got.explained is None


def test_vector() -> None:
    got = plane("vector", second=torch.from_numpy(CANDIDATES[3]))
    np.testing.assert_allclose(got.b2, across(CANDIDATES[3], unit(FIRST)), atol=1e-12)


@pytest.mark.parametrize("kind", sorted(entries("plane")))
def test_basis_is_orthonormal_and_coordinates_are_the_candidates(kind: str) -> None:
    got = plane(kind, **options(kind))
    b = torch.stack([got.b1, got.b2]).numpy()
    assert b.dtype == np.float64
    assert np.abs(b @ b.T - np.eye(2)).max() < 1e-12
    np.testing.assert_allclose(got.coordinates, CANDIDATES @ b.T, atol=1e-12)
    assert 0.05 <= got.meta["across"] <= 1 and got.meta["kind"] == kind


def test_what_is_left_of_a_nearly_parallel_vector_is_still_across() -> None:
    """One pass of Gram-Schmidt would leave 1e-8 here: the rounding of what it took away."""
    b1 = unit(FIRST)
    second = b1 + 1e-8 * across(RNG.normal(size=30), b1)
    left = apart(torch.from_numpy(second), torch.from_numpy(b1)[None])
    assert abs(float(left @ torch.from_numpy(b1))) < 1e-14 * float(left.norm())


@pytest.mark.parametrize("kind", ["pc1", "mean_candidate"])
def test_sign_rule_does_not_follow_the_solver(kind: str) -> None:
    """A mirror image of the candidates has the mirror image's second axis, whatever sign the solver gives."""
    first, second = plane(kind), plane(kind, candidates=-CANDIDATES)
    orientation = 1 if kind == "pc1" else -1  # the mean candidate itself turns about
    np.testing.assert_allclose(second.b1, orientation * first.b1, atol=1e-12)
    np.testing.assert_allclose(second.b2, -first.b2, atol=1e-10)
    turned = plane(kind, candidates=CANDIDATES[::-1].copy())  # the later half is now the earlier one
    np.testing.assert_allclose(turned.b2, -first.b2, atol=1e-10)


@pytest.mark.parametrize("rows", ["unit", "raw"])
@pytest.mark.parametrize("kind", ["pc1", "mean_candidate"])
def test_the_sign_does_not_flip_between_resamples_of_the_prompts(kind: str, rows: str) -> None:
    """Directions that drift with depth, as those of models do, each estimated from 40 + 40 prompts of noise: the
    second axes of 300 resamples agree. The rule that the largest component is positive flips in some of them."""
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(64, 12)))[0].T  # some directions that no coordinate prefers
    drift = np.outer(np.linspace(0, 1, 16), rng.normal(size=12)) @ basis
    norms = np.geomspace(1, 10, 16)[:, None]
    true = norms * unit(unit(rng.normal(size=64)) + drift / np.linalg.norm(drift[-1]))
    axes, largest = [], []
    for _ in range(300):
        found = true + norms * rng.normal(size=true.shape) * 0.2 / np.sqrt(40)
        candidates = unit(found) if rows == "unit" else found
        axis = plane(kind, true[8], candidates).b2.numpy()
        axes.append(axis)
        largest.append(np.sign(axis[np.abs(axis).argmax()]))
    cosines = np.array(axes) @ axes[0]
    assert cosines.min() > 0.3
    assert len(set(largest)) == 2


def test_a_sign_that_nothing_decides_is_an_error() -> None:
    """Four candidates whose halves have one mean: the axis has no side that is later."""
    points = np.array([[2.0, 1, 1], [-2, 1, 1], [2, 1, -1], [-2, 1, -1]])
    with pytest.raises(MethodError, match="so it has no sign"):
        plane("pc1", np.array([0.0, 1, 0]), points)


def test_planted_rank_two_set_is_recovered() -> None:
    basis = np.linalg.qr(RNG.normal(size=(20, 2)))[0].T
    points = RNG.normal(size=(15, 2)) @ basis
    got = plane("pc1", points[0], points)
    both = torch.stack([got.b1, got.b2]).numpy()
    np.testing.assert_allclose(both.T @ both, basis.T @ basis, atol=1e-10)


def test_raw_rows_are_not_unit_rows() -> None:
    """The last layers' norms dominate raw candidates, so the engine's choice of rows matters."""
    raw = CANDIDATES * np.geomspace(1, 50, len(CANDIDATES))[:, None]
    assert plane("pc1", candidates=raw).explained > plane("pc1").explained + 0.2


@pytest.mark.parametrize(("rows", "explained"), [("raw", 0.81), ("unit", 0.32)])
def test_raw_and_unit_rows_of_published_directions(rows: str, explained: float) -> None:
    """Qwen-1.8B-Chat's mean differences, from their inner products: those decide what PC1 explains."""
    table = json.loads((Path(__file__).parent / "data" / "qwen_mean_differences.json").read_text())["rows"]
    gram = np.array([row + [0.0] * (len(table) - len(row)) for row in table])
    gram = gram + np.tril(gram, -1).T
    values, vectors = np.linalg.eigh(gram)
    candidates = vectors * np.sqrt(np.maximum(values, 0))  # rows with these inner products
    candidates = unit(candidates) if rows == "unit" else candidates
    assert plane("pc1", candidates[14], candidates).explained == pytest.approx(explained, abs=0.005)


def test_swapping_the_axes_maps_an_angle_to_its_complement() -> None:
    """Absolute rotation to θ in (b1, b2) is rotation to 90° - θ in (b2, b1)."""
    got = plane("pc1")
    swapped = Plane(got.b2, got.b1)
    h = torch.randn(4, 5, 30, generator=torch.Generator().manual_seed(0))
    one = run(h, prepare(Operand(plane=got), {"to": 25.0}))
    two = run(h, prepare(Operand(plane=swapped), {"to": 65.0}))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "least"), [("pc1", 2), ("mean_candidate", 2), ("last2pc", 3)])
def test_a_plane_of_too_few_candidates(kind: str, least: int) -> None:
    with pytest.raises(MethodError) as error:
        plane(kind, candidates=CANDIDATES[: least - 1])
    assert error.value.problem == f"{kind} needs at least {least} candidate directions, not {least - 1}"


@pytest.mark.parametrize("kind", ["pc1", "mean_candidate", "last2pc"])
def test_candidates_that_do_not_differ(kind: str) -> None:
    with pytest.raises(MethodError, match=f"{kind} needs candidate directions that differ"):
        plane(kind, candidates=np.repeat(CANDIDATES[:1], 4, 0))


def test_last2pc_of_candidates_on_a_line() -> None:
    line = CANDIDATES[:1] + np.linspace(-1, 1, 5)[:, None] * CANDIDATES[1:2]
    with pytest.raises(MethodError, match="candidates that differ in two directions"):
        plane("last2pc", candidates=line)


def test_collinear_directions() -> None:
    off = across(RNG.normal(size=30), unit(FIRST))
    with pytest.raises(MethodError) as error:
        plane("vector", second=torch.from_numpy(unit(FIRST) + 0.04 * off))
    assert error.value.problem == "the plane's two directions are collinear: 4.0% of the second is across the first"
    assert plane("vector", second=torch.from_numpy(unit(FIRST) + 0.06 * off)).meta["across"] > 0.05


def test_pc1_along_the_first_direction() -> None:
    line = np.linspace(1, 2, 6)[:, None] * FIRST
    with pytest.raises(MethodError, match="collinear"):
        plane("pc1", candidates=line)


def test_zero_directions() -> None:
    with pytest.raises(MethodError, match="a direction of the plane is zero"):
        plane("pc1", first=np.zeros(30))
    with pytest.raises(MethodError, match="the candidate directions cancel out"):
        plane("mean_candidate", candidates=np.concatenate([CANDIDATES, -CANDIDATES]))


def test_a_plane_of_two_named_directions_needs_no_candidates() -> None:
    got = plane("vector", candidates=np.zeros((0, 30)), second=torch.from_numpy(CANDIDATES[0]))
    assert got.coordinates is None


NUMERIC = {
    ("plane", "pc1"): test_pc1,
    ("plane", "mean_candidate"): test_mean_candidate,
    ("plane", "last2pc"): test_last2pc,
    ("plane", "random"): test_random,
    ("plane", "vector"): test_vector,
}
