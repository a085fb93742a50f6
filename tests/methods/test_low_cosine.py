"""`low_cosine` against numpy, layers without a direction left out."""

from __future__ import annotations

import numpy as np
from classes import candidates, gaussians, select


def test_the_smallest_cosine_of_the_means_comes_first() -> None:
    p, n = gaussians(layers=6, shift=1.5)
    got = select("low_cosine", candidates(p, n[:31]))
    a, b = p.mean(0), n[:31].mean(0)
    wanted = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    np.testing.assert_allclose(got.figures["cosine"].numpy(), wanted, rtol=1e-6)
    assert got.order == (1 + np.argsort(wanted)).tolist()


def test_a_layer_where_the_classes_agree_is_not_chosen() -> None:
    p, n = gaussians(layers=4)
    p[:, 2] = n[:, 2] = 1.0
    got = select("low_cosine", candidates(p, n))
    assert sorted(got.order) == [1, 2, 4] and got.score[2].isnan()


NUMERIC = {("select", "low_cosine"): test_the_smallest_cosine_of_the_means_comes_first}
