"""What every extraction from two classes shares: rows in float64, the sign rule, the zero rule.

In: `Activations` of both classes. Out: `Directions` whose rows point toward the positive class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steerdsl.methods.axes import principal
from steerdsl.methods.types import Activations, Directions, MethodError

if TYPE_CHECKING:
    from torch import Tensor

ZERO = 1e-6  # a difference below this share of the activations' median norm is rounding, not signal


def difference(positive: Activations, negative: Activations) -> Tensor:
    """mean(P) - mean(N), float64 [L, d]."""
    return positive.mean.double() - negative.mean.double()


def negligible(vectors: Tensor, positive: Activations, negative: Activations) -> Tensor:
    """Where ‖v‖ is at most `ZERO` of the median norm, for raw vectors [L, d]: bool [L].

    Raises MethodError when that is every layer: the classes do not differ.
    """
    import torch

    scale = torch.maximum(positive.median_norm, negative.median_norm).double()
    return refuse_all(vectors.norm(dim=-1) <= ZERO * scale)


def refuse_all(zero: Tensor) -> Tensor:
    """Return `zero` bool [L], unless it is true everywhere: MethodError."""
    if bool(zero.all()):
        raise MethodError(
            "both classes have the same activations at every layer, so there is no direction",
            "compare two data sets that differ, or read another position",
        )
    return zero


def layer_rows(activations: Activations, layer: int) -> Tensor:
    """The samples of one captured layer, float64 [n, d]."""
    assert activations.rows is not None, "the method's entry must declare needs={'rows'}"
    return activations.rows[:, layer].double()


def require_samples(method: str, positive: Activations, negative: Activations, least: int = 2) -> None:
    """Raise MethodError unless both classes have `least` samples: a variance needs two."""
    for name, activations in (("positive", positive), ("negative", negative)):
        if activations.n < least:
            raise MethodError(
                f"{method} needs at least {least} prompts in each class, and the {name} class has {activations.n}",
                "take more prompts, or use diffmean",
            )


def require_pairs(method: str, positive: Activations, negative: Activations) -> None:
    """Raise MethodError unless row i of both classes can belong together."""
    require_samples(method, positive, negative)
    if positive.n != negative.n:
        raise MethodError(
            f"{method} needs pairs, and there are {positive.n} positive and {negative.n} negative prompts",
            "use a data set with `positive:` and `negative:` fields, or a method without pairs",
        )


def toward_positive(
    axes: Tensor, positive: Activations, negative: Activations, figures: Mapping[str, Any] | None = None
) -> Directions:
    """Unit axes, float64 [L, k, d], turned toward the positive class.

    The raw norm is the difference of the class means along the axis, so that adding the raw vector
    once moves the negative mean to the positive one along it. Layers without a difference become
    zero rows, since nothing says where their axes point.
    """
    delta = difference(positive, negative)
    zero = negligible(delta, positive, negative)
    along = (axes @ delta[:, :, None])[:, :, 0].masked_fill(zero[:, None], 0.0)
    signed = axes * along.sign().where(along != 0, 1.0)[:, :, None]
    unit = signed.masked_fill(zero[:, None, None], 0.0).float()
    return Directions(unit, along.abs(), figures=figures or {})


def first_axes(clouds: Sequence[Tensor], positive: Activations, negative: Activations) -> Directions:
    """The first principal axis about the origin of each layer's cloud [m, d], toward the positive
    class; figures: `explained`, its share of the cloud's sum of squares."""
    import torch

    found = [principal(cloud, 1) for cloud in clouds]
    axes = torch.stack([axis for axis, _ in found])
    return toward_positive(axes, positive, negative, {"explained": [float(share[0]) for _, share in found]})
