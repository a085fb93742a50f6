"""Vectors of several classes, axes over them and components of neutral text, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from classes import activations

from steerdsl.methods.class_vectors import against_all, class_axes, components, correlation
from steerdsl.methods.types import MethodError

DRAW = np.random.default_rng(4)
D = 12


def classes(sizes: tuple[int, ...]) -> list[np.ndarray]:
    return [DRAW.normal(size=(n, 1, D)) + 3 * DRAW.normal(size=(1, D)) for n in sizes]


@pytest.mark.parametrize("sizes", [(9, 9), (4, 30, 7), (2, 3, 5, 40, 6)])
def test_each_class_against_the_mean_of_the_class_means(sizes: tuple[int, ...]) -> None:
    rows = classes(sizes)
    middle = np.mean([own.mean(0) for own in rows], axis=0)
    found = against_all([activations(own) for own in rows])
    raws = [(d.raw_norm[:, :1].double() * d.unit[:, 0].double()).numpy()[0] for d in found]
    for own, raw in zip(rows, raws, strict=True):
        assert np.allclose(raw, (own.mean(0) - middle)[0], atol=1e-5)
    assert np.allclose(np.sum(raws, axis=0), 0, atol=1e-5)


def test_two_classes_are_the_two_halves_of_their_difference() -> None:
    p, n = classes((8, 5))
    first, second = against_all([activations(p), activations(n)])
    assert torch.allclose(first.unit, -second.unit, atol=1e-6)
    assert np.allclose((first.raw_norm[0, 0] * first.unit[0, 0]).numpy(), (p.mean(0)[0] - n.mean(0)[0]) / 2, atol=1e-5)


def test_a_class_of_one_prompt_is_told() -> None:
    found = against_all([activations(own) for own in classes((1, 4, 4))])
    assert [bool(d.figures.get("warnings")) for d in found] == [True, False, False]


def test_a_class_that_is_the_mean_has_no_direction() -> None:
    p, n = classes((6, 6))
    middle = (p.mean(0) + n.mean(0)) / 2
    with pytest.raises(MethodError, match="the same activations"):
        against_all([activations(own) for own in (p, n, np.stack([middle, middle]))])


@pytest.mark.parametrize(("n", "k"), [(2, 1), (5, 1), (5, 4), (9, 3)])
def test_axes_over_classes(n: int, k: int) -> None:
    raw = DRAW.normal(size=(n, 2, D)) * np.linspace(3, 0.5, D)
    found = class_axes(torch.tensor(raw), k)
    for layer in range(2):
        centred = raw[:, layer] - raw[:, layer].mean(0)
        values, vectors = np.linalg.eigh(centred.T @ centred)
        for i in range(k):
            axis = vectors[:, -1 - i]
            later = centred[-(n // 2) :].mean(0) @ axis - centred[: n // 2].mean(0) @ axis
            assert np.allclose(found.unit[layer, i].numpy(), axis * np.sign(later), atol=1e-5)
            assert np.isclose(found.raw_norm[layer, i], np.sqrt(values[-1 - i] / (n - 1)))
            assert np.isclose(found.figures["explained"][layer][i], values[-1 - i] / values.sum())


def test_the_sign_of_an_axis_turns_with_the_order_of_the_classes() -> None:
    raw = torch.tensor(DRAW.normal(size=(5, 1, D)))
    assert torch.allclose(class_axes(raw, 1).unit, -class_axes(raw.flip(0), 1).unit, atol=1e-6)


def test_more_axes_than_classes_have() -> None:
    with pytest.raises(MethodError, match="3 classes have at most 2 axes, and 3 are asked for"):
        class_axes(torch.randn(3, 1, D), 3)
    with pytest.raises(MethodError, match="the same vector"):
        class_axes(torch.ones(3, 1, D), 1)


@pytest.mark.parametrize(("k", "share"), [(1, 0.5), (3, 0.5), (None, 0.3), (None, 0.5), (None, 0.9), (None, 0.9999)])
def test_components_of_samples(k: int | None, share: float) -> None:
    rows = DRAW.normal(size=(20, 2, D)) * np.linspace(4, 0.2, D)
    rows[:, 1] *= np.linspace(1, 0.01, D)  # so that layers need different numbers
    found = components(torch.tensor(rows).float(), k, share)
    for layer in range(2):
        own = rows[:, layer].astype(np.float32).astype(float)
        values, vectors = np.linalg.eigh(np.cov(own.T))
        shares = values[::-1] / values.sum()
        count = k or int(np.argmax(np.cumsum(shares) >= share)) + 1
        assert found.figures["axes"][layer] == count
        assert np.isclose(found.figures["explained"][layer], shares[:count].sum())
        q = found.unit[layer, :count].double().numpy()
        assert np.allclose(q @ q.T, np.eye(count), atol=1e-5)
        assert np.allclose(np.abs(q @ vectors[:, ::-1][:, :count]), np.eye(count), atol=1e-4)
        assert not found.unit[layer, count:].any()


def test_too_few_prompts_for_components() -> None:
    for n, k in ((1, None), (1, 1), (4, 4)):
        with pytest.raises(MethodError, match=f"cannot be found in {n} prompts"):
            components(torch.randn(n, 2, D), k, 0.5)
    with pytest.raises(MethodError, match="all prompts have the same activations"):
        components(torch.ones(4, 2, D), None, 0.5)


def test_a_correlation_of_classes_with_numbers() -> None:
    raw, axis, numbers = DRAW.normal(size=(6, D)), DRAW.normal(size=D), DRAW.normal(size=6)
    found = correlation(torch.tensor(raw), torch.tensor(axis), numbers.tolist())
    assert np.isclose(found, np.corrcoef(raw @ axis, numbers)[0, 1])
    assert np.isnan(correlation(torch.tensor(raw), torch.tensor(axis), [1.0] * 6))
    assert np.isnan(correlation(torch.ones(6, D), torch.tensor(axis), numbers.tolist()))
