"""The figures that `when` compares, against numpy."""

from __future__ import annotations

import numpy as np
import torch
from classes import unit

from steerdsl.registry import find

RNG = np.random.default_rng(0)
H = RNG.normal(size=(3, 5, 16)).astype(np.float32)
R = unit(RNG.normal(size=16)).astype(np.float32)


def test_proj() -> None:
    got = find("condition", "proj").run(torch.from_numpy(H), torch.from_numpy(R))
    np.testing.assert_allclose(got.numpy(), H.astype(float) @ R.astype(float), atol=1e-6)


def test_cos() -> None:
    got = find("condition", "cos").run(torch.from_numpy(H), torch.from_numpy(R))
    wanted = H.astype(float) @ R.astype(float) / np.linalg.norm(H.astype(float), axis=-1)
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-6)
    flipped = find("condition", "cos").run(torch.from_numpy(H), -torch.from_numpy(R))
    assert torch.equal(flipped, -got)


def test_cos_of_nothing_is_zero() -> None:
    assert find("condition", "cos").run(torch.zeros(2, 16), torch.from_numpy(R)).tolist() == [0.0, 0.0]


def test_step_is_the_same_for_every_token() -> None:
    got = find("condition", "step").run(torch.from_numpy(H), torch.tensor(7.0))
    assert got.shape == (3, 5) and (got == 7).all()


NUMERIC = {
    ("condition", "proj"): test_proj,
    ("condition", "cos"): test_cos,
    ("condition", "step"): test_step_is_the_same_for_every_token,
}
