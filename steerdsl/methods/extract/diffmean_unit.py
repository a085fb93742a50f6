"""`diffmean_unit`: the difference of the directions of the class means, each sample of equal weight.

In: every sample's activation. Out: a direction for each layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.contrast import ZERO, layer_rows, refuse_all
from steerdsl.methods.extract.diffmean import normalised
from steerdsl.methods.types import Activations, Directions
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(positive: Activations, negative: Activations) -> Directions:
    """Normalise each sample, average, normalise the class means, subtract.

    Rescaling a sample changes nothing, so the raw norm (at most 2) has no unit of length. A layer
    whose unit means agree gives a zero row; MethodError when all do.
    """
    import torch

    layers = range(len(positive.mean))
    raw = torch.stack([_unit_mean(positive, i) - _unit_mean(negative, i) for i in layers])
    unit, norm = normalised(raw, refuse_all(raw.norm(dim=-1) <= ZERO))
    return Directions(unit, norm)


def _unit_mean(activations: Activations, layer: int) -> Tensor:
    rows = layer_rows(activations, layer)
    length: Tensor = rows.norm(dim=-1, keepdim=True)
    mean = (rows / length.where(length > 0, 1.0)).mean(0)
    norm: Tensor = mean.norm()
    return mean / norm.where(norm > 0, 1.0)


ENTRY = Entry(
    kind="extract",
    name="diffmean_unit",
    summary="the difference of the normalised class means of normalised samples",
    when=(
        "Use it when a few samples with large activations would dominate the means. Not with `add … by 2`: its raw "
        "norm is not a length in the stream, so write a share such as `by 10%`."
    ),
    run=run,
    formula="v = unit(mean unit(h⁺)) - unit(mean unit(h⁻))",
    paper="Vu and Nguyen 2025, Angular Steering",
    example="topic = extract diffmean_unit from econ vs generic at last_token",
    needs=frozenset({"rows"}),
    aliases=("angular", "angular_steering", "normalized_diffmean", "unit_diffmean"),
)
