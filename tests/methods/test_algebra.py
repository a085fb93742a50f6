"""Arithmetic between vectors against numpy, and its refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from classes import unit

from steerdsl.methods.algebra import combine, cosine, orthogonalize
from steerdsl.methods.finite import NotFinite
from steerdsl.methods.types import Directions, MethodError, Vector
from steerdsl.methods.zero import require

RNG = np.random.default_rng(0)


def vector(name: str, raw: np.ndarray, layers: tuple[int, ...] = (0, 1, 2), stream: str = "resid_post") -> Vector:
    """From raw rows [L, d] or [L, k, d]."""
    raw = raw[:, None] if raw.ndim == 2 else raw
    norm = np.linalg.norm(raw, axis=-1)
    directions = Directions(torch.from_numpy(raw / norm[..., None]).float(), torch.from_numpy(norm))
    return Vector(name, directions, torch.tensor(layers), stream)


WARM, FORMAL = RNG.normal(size=(3, 8)) * 4, RNG.normal(size=(3, 8))


def raw(v: Vector) -> np.ndarray:
    return (v.directions.raw_norm[..., None] * v.directions.unit.double()).numpy()


def test_a_sum_is_of_raw_vectors() -> None:
    got = combine("sum", [(1.0, vector("warm", WARM)), (-0.5, vector("formal", FORMAL))])
    np.testing.assert_allclose(raw(got)[:, 0], WARM - 0.5 * FORMAL, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(got.directions.unit[:, 0], axis=-1), 1, atol=1e-6)
    assert got.name == "sum" and got.meta == {"sum": "1·warm + -0.5·formal"} and got.mean_positive is None


def test_a_single_term_scales() -> None:
    np.testing.assert_allclose(raw(combine("half", [(-0.5, vector("warm", WARM))]))[:, 0], -0.5 * WARM, atol=1e-6)


def test_orthogonalize() -> None:
    got = raw(orthogonalize("clean", vector("warm", WARM), vector("formal", FORMAL)))[:, 0]
    u = unit(FORMAL)
    np.testing.assert_allclose(got, WARM - (WARM * u).sum(-1, keepdims=True) * u, atol=1e-6)
    assert np.abs((got * u).sum(-1)).max() < 1e-6


def test_orthogonalize_against_a_span() -> None:
    span = RNG.normal(size=(3, 3, 8))
    span[:, 2] = span[:, 0] + span[:, 1]
    got = raw(orthogonalize("clean", vector("warm", WARM), vector("span", span)))[:, 0]
    for row, rows, start in zip(got, span, WARM, strict=True):
        np.testing.assert_allclose(row, start - start @ np.linalg.pinv(rows) @ rows, atol=1e-5)


def test_cosine() -> None:
    got = cosine(vector("warm", WARM), vector("formal", FORMAL))
    np.testing.assert_allclose(got.numpy(), (unit(WARM) * unit(FORMAL)).sum(-1), atol=1e-6)


def test_what_cancels_is_a_zero_row_and_everything_an_error() -> None:
    other = WARM.copy()
    other[0] *= 2
    got = combine("left", [(1.0, vector("warm", other)), (-1.0, vector("same", WARM))])
    assert got.directions.unit[0].any() and not got.directions.unit[1:].any()
    assert got.directions.raw_norm[1:].eq(0).all()
    for make in (
        lambda v: combine("left", [(1.0, v), (-1.0, v)]),
        lambda v: orthogonalize("left", v, v),
    ):
        with pytest.raises(MethodError, match="nothing is left of left: its terms cancel at every layer"):
            make(vector("warm", WARM))


@pytest.mark.parametrize("size", [1e154, 1e200, 1e308, 1.7e308])
def test_a_sum_beyond_all_numbers_is_said_to_be_that_and_not_to_cancel(size: float) -> None:
    with pytest.raises(NotFinite, match="of `big` is not finite at layer 0"):
        combine("big", [(size, vector("warm", WARM)), (size, vector("formal", FORMAL))])


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (vector("b", RNG.normal(size=(3, 9))), "a and b are 8 and 9 wide"),
        (vector("b", WARM, stream="resid_pre"), "a and b are on resid_post and resid_pre"),
        (vector("b", WARM, layers=(0, 1, 3)), "a and b are of layers 0, 1, 2 and 0, 1, 3"),
        (vector("b", RNG.normal(size=(5, 8)), tuple(range(5))), "a and b are of layers 0, 1, 2 and 0 to 4 (5)"),
    ],
)
def test_vectors_that_do_not_match(other: Vector, problem: str) -> None:
    a = vector("a", WARM)
    for act in (
        lambda: combine("c", [(1.0, a), (1.0, other)]),
        lambda: orthogonalize("c", a, other),
        lambda: cosine(a, other),
    ):
        with pytest.raises(MethodError) as error:
            act()
        assert error.value.problem == problem


def test_arithmetic_needs_one_direction_a_layer() -> None:
    several = vector("span", RNG.normal(size=(3, 2, 8)))
    with pytest.raises(MethodError, match="span has 2 directions at each layer, and this needs one"):
        combine("c", [(1.0, several)])
    with pytest.raises(MethodError, match="span has 2 directions"):
        cosine(several, several)


def test_a_zero_row_is_refused_where_it_is_used() -> None:
    v = vector("topic", WARM)
    unit_rows = v.directions.unit.clone()
    unit_rows[0] = 0
    v = replace(v, directions=replace(v.directions, unit=unit_rows))
    with pytest.raises(MethodError) as error:
        require(v.directions.unit[0], 0, "last_token", "topic")
    assert error.value.problem == "topic is zero at layer 0, last_token: both classes are the same there"
    assert require(v.directions.unit[1], 1, "last_token") is not None
