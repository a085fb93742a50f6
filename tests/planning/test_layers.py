"""Layer specs as numbers, by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from steerdsl.lang.recipe import LayerChoice, LayerPoint, LayerRange, Layers
from steerdsl.planning.formatting import numbers
from steerdsl.planning.layers import LayerOutside, between, layer_number, resolve_layers

N = LayerPoint
SHARE = [LayerPoint(x, share=True) for x in (0.0, 0.25, 0.5, 0.75, 1.0)]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (Layers(), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
        (Layers((N(6), N(2), N(6))), (2, 6)),
        (Layers((LayerRange(N(1), N(9), 3),)), (1, 4, 7)),
        (Layers((LayerRange(SHARE[1], SHARE[3]),)), (2, 3, 4, 5, 6, 7)),
        (Layers((LayerChoice("best"), N(0))), (0, 4, 8)),
    ],
)
def test_a_model_of_ten_layers(layers: Layers, expected: tuple[int, ...]) -> None:
    assert resolve_layers(layers, 10, {"best": (8, 4)}) == expected


@pytest.mark.parametrize(("n", "expected"), [(5, [0, 1, 2, 3, 4]), (30, [0, 7, 15, 22, 29]), (1, [0] * 5)])
def test_a_share_is_the_same_place_in_every_model(n: int, expected: list[int]) -> None:
    assert [layer_number(point, n) for point in SHARE] == expected


@pytest.mark.parametrize("percent", [0, 1, 12.5, 14.5, 25, 33.3, 37.5, 50, 62.5, 75, 87.5, 90, 100])
def test_a_deeper_model_never_has_an_earlier_layer(percent: float) -> None:
    """By exact arithmetic: the nearest layer, halves up; `50%` of 26, 28, 30, 32 layers is 13, 14, 15, 16."""
    share = Fraction(str(percent)) / 100
    found = [layer_number(LayerPoint(percent / 100, share=True), n) for n in range(1, 200)]
    assert found == [int(share * (n - 1) + Fraction(1, 2)) for n in range(1, 200)]
    assert found == sorted(found)


def test_the_plan_says_where_a_share_is_between_layers() -> None:
    half, whole = Layers((SHARE[2],)), Layers((SHARE[0], LayerRange(SHARE[2], SHARE[4])))
    assert [between(half, n) for n in (29, 30, 31)] == [False, True, False]
    assert between(whole, 30) and not between(Layers((N(3), LayerChoice("best"))), 30)


@pytest.mark.parametrize("number", [-1, 10, 99])
def test_a_layer_outside_is_refused(number: int) -> None:
    with pytest.raises(LayerOutside):
        resolve_layers(Layers((N(number),)), 10, {})


def test_a_choice_that_was_not_made_is_an_error() -> None:
    with pytest.raises(KeyError):
        resolve_layers(Layers((LayerChoice("best"),)), 10, {})


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ((0, 1, 2, 3), "0..3"),
        ((6, 16, 22), "6, 16, 22"),
        ((8, 10, 12, 14), "8..14 step 2"),
        ((3,), "3"),
        ((0, 1, 5, 6, 7), "0, 1, 5..7"),
        ((), ""),
    ],
)
def test_layers_are_printed_folded(layers: tuple[int, ...], text: str) -> None:
    assert numbers(layers) == text
