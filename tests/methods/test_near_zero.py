"""Layers where the classes agree, and classes with too few prompts, for every extraction."""

from __future__ import annotations

import numpy as np
import pytest
from classes import activations, gaussians

from steerdsl.methods.types import Directions, MethodError
from steerdsl.registry import entries, find

TWO_CLASSES = sorted(name for name, entry in entries("extract").items() if name not in ("sae", "random"))


def run_two_classes(name: str, p: np.ndarray, n: np.ndarray) -> Directions:
    options = {"recapture": lambda q: (activations(p), activations(n)), "k": 1} if name == "iterative" else {}
    return find("extract", name).run(activations(p), activations(n), **options)


@pytest.mark.parametrize("name", TWO_CLASSES)
def test_a_layer_where_the_classes_agree_gives_a_zero_row(name: str) -> None:
    """RD's published differences are exactly 0 at layer 0 where the template's token is the same."""
    p, n = gaussians()
    p[:, 0] = n[:, 0] = p[:1, 0]
    got = run_two_classes(name, p, n)
    assert not got.unit[0].any() and got.raw_norm[0].eq(0).all()
    assert got.unit[1:, 0].any(dim=-1).all()


@pytest.mark.parametrize("name", TWO_CLASSES)
def test_a_difference_of_rounding_size_is_zero(name: str) -> None:
    p, n = gaussians()
    p[:, 0] = n[:, 0] = 1.0
    p[:, 0, 0] = np.float32(1.0) + np.float32(2.5e-7)
    assert not run_two_classes(name, p, n).unit[0].any()


@pytest.mark.parametrize("name", TWO_CLASSES)
def test_identical_sets_are_an_error(name: str) -> None:
    p, _ = gaussians()
    with pytest.raises(MethodError, match="the same activations at every layer"):
        run_two_classes(name, p, p)


@pytest.mark.parametrize("name", [n for n in TWO_CLASSES if n not in ("diffmean", "diffmean_unit", "iterative")])
def test_one_prompt_is_an_error_where_a_variance_is_needed(name: str) -> None:
    p, n = gaussians()
    with pytest.raises(MethodError) as error:
        run_two_classes(name, p, n[:1])
    assert error.value.problem == f"{name} needs at least 2 prompts in each class, and the negative class has 1"


@pytest.mark.parametrize("name", ["pca_diff", "pca_center"])
def test_pairs_must_be_pairs(name: str) -> None:
    p, n = gaussians()
    with pytest.raises(MethodError) as error:
        run_two_classes(name, p, n[:-1])
    assert error.value.problem == f"{name} needs pairs, and there are 40 positive and 39 negative prompts"
