"""Turn layer specs into layer numbers.

In: `recipe.Layers` and the model's number of layers, and what `select` steps chose so far.
Out: sorted layer numbers, or an error that names the model's range.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.lang.recipe import LayerChoice, LayerPoint, LayerRange, Layers
from steerdsl.lang.source import Source


class LayerOutside(ValueError):
    """A layer number that the model does not have."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no layer {number}")
        self.number = number


def choices(layers: Layers) -> tuple[str, ...]:
    """The select steps that these layers wait for."""
    return tuple(item.select for item in layers.items if isinstance(item, LayerChoice))


def at_depth(share: float, n_layers: int) -> int:
    """The layer at a share of the depth, 0 to 1: `share · (n_layers - 1)`, halves rounded up."""
    # Nine decimals: 14.5% of 100 is 14.499999999999998 in binary.
    return math.floor(round(share * (n_layers - 1), 9) + 0.5)


def between(layers: Layers, n_layers: int) -> bool:
    """Whether a share of the depth that these layers name is between two layers."""
    ends = [[item.start, item.stop] if isinstance(item, LayerRange) else [item] for item in layers.items]
    shares = [p.value for points in ends for p in points if isinstance(p, LayerPoint) and p.share]
    return any(round(share * (n_layers - 1), 9) % 1 for share in shares)


def layer_number(point: LayerPoint, n_layers: int) -> int:
    """A layer number, or the layer at a share of the depth: 0% is the first, 100% the last, and what is half
    way between two layers is the later one, so that a deeper model never has an earlier one."""
    number = at_depth(point.value, n_layers) if point.share else int(point.value)
    if not 0 <= number < n_layers:
        raise LayerOutside(number)
    return number


def _numbers(layers: Layers, n_layers: int, chosen: Mapping[str, tuple[int, ...]]) -> Iterator[int]:
    for item in layers.items:
        match item:
            case LayerChoice(select):
                yield from chosen[select]
            case LayerRange(start, stop, step):
                yield from range(layer_number(start, n_layers), layer_number(stop, n_layers) + 1, step)
            case LayerPoint():
                yield layer_number(item, n_layers)


def resolve_layers(layers: Layers, n_layers: int, chosen: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Sorted, distinct layer numbers; every layer when nothing is named.

    Raises LayerOutside for a number that the model lacks, and KeyError for a choice not yet made.
    """
    if not layers.items:
        return tuple(range(n_layers))
    return tuple(sorted(set(_numbers(layers, n_layers, chosen))))


def outside(source: Source, layers: Layers, number: int, n_layers: int, model: str) -> RecipeError:
    """The diagnostic for a layer that the model does not have."""
    return RecipeError(
        [
            Diagnostic(
                "P701",
                f"there is no layer {number}",
                (Label(source, layers.span, f"{model} has layers 0 to {n_layers - 1}"),),
                help=f"count from 0; `last` or `100%` is layer {n_layers - 1}, and a percentage works in every model",
            )
        ]
    )
