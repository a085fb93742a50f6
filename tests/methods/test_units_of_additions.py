"""Spread within classes and one strength in all units, on paper-sized cases and against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steerdsl.lang.recipe import Strength
from steerdsl.methods.doses import Dose, Scale, in_all_units, pooled_sd
from steerdsl.methods.ops.add import ENTRY
from steerdsl.methods.types import MethodError, Operand

SCALE = Scale(raw=4.0, sd=0.5, norm=20.0, inverse=0.0625)


def test_the_spread_is_about_the_mean_of_each_class() -> None:
    """Along the first axis {1, 3} and {10, 12, 14}: squares 2 and 8 about 2 and 12, three degrees of freedom."""
    first = torch.tensor([[1.0, 7.0], [3.0, -7.0]])
    second = torch.tensor([[10.0, 0.0], [12.0, 9.0], [14.0, 1.0]])
    unit = torch.tensor([1.0, 0.0])
    assert pooled_sd([first, second], unit) == pytest.approx(math.sqrt(10 / 3))
    assert pooled_sd([first, second + 100], unit) == pytest.approx(math.sqrt(10 / 3)), "not their difference"
    assert pooled_sd([first], unit) == pytest.approx(math.sqrt(2))


def test_one_sample_a_class_has_no_spread() -> None:
    assert pooled_sd([torch.ones(1, 2), torch.zeros(1, 2)], torch.tensor([1.0, 0.0])) is None
    assert pooled_sd([torch.ones(1, 2), torch.eye(2)], torch.tensor([1.0, 0.0])) == pytest.approx(math.sqrt(0.5))


def test_the_spread_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    classes = [rng.normal(3 * i, 1 + i, size=(5 + i, 6)) for i in range(3)]
    unit = rng.normal(size=6)
    unit /= np.linalg.norm(unit)
    wanted = sum((len(c) - 1) * (c @ unit).var(ddof=1) for c in classes) / sum(len(c) - 1 for c in classes)
    found = pooled_sd([torch.tensor(c) for c in classes], torch.tensor(unit))
    assert found == pytest.approx(math.sqrt(wanted), rel=1e-12)


def test_a_raw_diffmean_is_cohens_d_of_them() -> None:
    """Classes at 0 and 3 with a spread of 1.5: the raw vector of length 3 is 2 sd."""
    assert in_all_units(Strength(1, "raw"), Scale(3.0, 1.5)).sd == 2


PAPER = {
    Strength(2, "raw"): Dose(2, 0.5, 16, 0.4),  # 8 long: 8 / .5 sd, 8 / 20, 8 · .0625
    Strength(-4, "sd"): Dose(-0.5, -0.125, -4, -0.1),  # 2 long, against the direction
    Strength(0.3, "dose"): Dose(1.5, 0.375, 12, 0.3),  # 6 long
    Strength(0.3, "share"): Dose(1.5, 0.3, 12, 0.3),  # 6 long where a token is as long as they are on average
    Strength(0, "raw"): Dose(0, 0, 0, 0),
}


@pytest.mark.parametrize("strength", PAPER)
def test_one_strength_in_all_units(strength: Strength) -> None:
    assert in_all_units(strength, SCALE) == PAPER[strength]


def test_what_is_not_known_is_none() -> None:
    assert in_all_units(Strength(2, "raw"), Scale(4.0)) == Dose(2, None, None, None)
    assert in_all_units(Strength(0.1, "share"), Scale(4.0)) == Dose(None, 0.1, None, 0.1)
    assert in_all_units(Strength(2, "raw"), Scale(0.0, 0.5, 2.0, 1.0)) == Dose(2, 0, 0, 0)
    assert in_all_units(Strength(2, "sd"), Scale(0.0, 0.5, 2.0, 1.0)).raw is None
    assert in_all_units(Strength(2, "raw"), Scale(4.0, 0.5, 2.0, math.inf)).share is None


@settings(deadline=None)
@given(
    st.floats(-5, 5),
    st.lists(st.floats(0.1, 50), min_size=3, max_size=3),
    st.sampled_from(["raw", "sd", "dose"]),
    st.sampled_from(["raw", "sd", "dose"]),
)
def test_a_strength_in_other_units_adds_the_same(value: float, lengths: list[float], unit: str, other: str) -> None:
    scale = Scale(*lengths, inverse=1.0)
    operand = Operand(
        torch.tensor([[0.6, 0.8]]), torch.tensor([scale.raw]).double(), sd=scale.sd, stream_norm=scale.norm
    )
    first = Strength(value, unit)  # type: ignore[arg-type]
    again = Strength(getattr(in_all_units(first, scale), other), other)  # type: ignore[arg-type]
    made = [ENTRY.prepare(operand, {"by": by})["step"] for by in (first, again)]
    length = value * {"raw": scale.raw, "sd": scale.sd, "dose": scale.norm}[unit]  # type: ignore[operator]
    torch.testing.assert_close(made[0], length * torch.tensor([0.6, 0.8]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(made[0], made[1], rtol=1e-5, atol=1e-6)


def test_each_row_of_a_batch_has_its_own_unit() -> None:
    operand = Operand(torch.tensor([[0.0, 1.0]]), torch.tensor([4.0]).double(), sd=0.5, stream_norm=20.0)
    by = [Strength(2, "raw"), Strength(2, "sd"), Strength(0.1, "dose"), Strength(0.1, "share")]
    p = ENTRY.prepare(operand, {"by": by})
    h = torch.tensor([3.0, 4.0]).expand(4, 1, 2)
    assert (ENTRY.run(h, p) - h)[:, 0, 1].tolist() == pytest.approx([8, 1, 2, 0.5])


def test_of_several_directions_the_sum_is_scaled() -> None:
    """Raw vectors (3, 0) and (0, 4): 2 sd of .5 are 1 along (.6, .8)."""
    operand = Operand(torch.eye(2), torch.tensor([3.0, 4.0]).double(), sd=0.5)
    assert ENTRY.prepare(operand, {"by": Strength(2, "sd")})["step"].tolist() == pytest.approx([0.6, 0.8])


def test_no_direction_cannot_be_added() -> None:
    with pytest.raises(MethodError):
        ENTRY.prepare(Operand(torch.zeros(1, 2), torch.zeros(1).double(), sd=1.0), {"by": Strength(2, "sd")})
