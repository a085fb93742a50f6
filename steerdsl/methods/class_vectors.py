"""Vectors of several classes: each class against the mean of all, and axes over such vectors and over samples.

In: the statistics of each class, raw vectors of each, or the samples of neutral text. Out: `Directions`.
Sources: Zou et al. 2023 (representations of six emotions); Sofroniew et al. 2026 (class means less the mean over
classes, components of neutral text taken out, and principal axes over the classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from steerdsl.methods.axes import principal
from steerdsl.methods.contrast import negligible
from steerdsl.methods.extract.diffmean import normalised
from steerdsl.methods.types import Activations, Directions, MethodError

if TYPE_CHECKING:
    from torch import Tensor


def against_all(classes: Sequence[Activations]) -> list[Directions]:
    """mean(c) - the mean of all class means, for each class c; every class counts once, however many prompts it has.

    A layer where a class is like the mean gives a zero row. Raises MethodError for a class that is so at all layers.
    """
    import torch

    means = torch.stack([own.mean.double() for own in classes])
    middle = means.mean(dim=0)
    found = []
    for own, mean in zip(classes, means, strict=True):
        delta = mean - middle
        unit, norm = normalised(delta, negligible(delta, own, replace(own, mean=middle)))
        warnings = ["the class has one prompt: its mean is that prompt"] if own.n == 1 else []
        found.append(Directions(unit, norm, figures={"warnings": warnings} if warnings else {}))
    return found


def class_axes(raw: Tensor, k: int) -> Directions:
    """The first k principal axes of the raw vectors [C, L, d] of C classes about their mean, layer by layer.

    The raw norm is the standard deviation of the classes along the axis, so that `add … by 1` is one of them. An axis
    is positive toward the later half of the classes (the one in the middle left out). Figures: `explained`.
    Raises MethodError for more axes than the classes can have.
    """
    import torch

    n = len(raw)
    if k > n - 1:
        raise MethodError(
            f"{n} classes have at most {n - 1} axes, and {k} are asked for", f"write `k: {n - 1}` or less"
        )
    units, norms, shares = [], [], []
    for rows in raw.double().transpose(0, 1):
        axes, share = principal(rows - rows.mean(dim=0), k)
        along = (rows - rows.mean(dim=0)) @ axes.T
        sign = (along[-(n // 2) :].mean(dim=0) - along[: n // 2].mean(dim=0)).sign()
        units.append(axes * sign.where(sign != 0, 1.0)[:, None])
        norms.append(along.square().sum(dim=0).div(n - 1).sqrt())
        shares.append([float(s) for s in share])
    unit, norm = torch.stack(units), torch.stack(norms)
    live = norm > 0
    if not bool(live.any()):
        raise MethodError("all classes have the same vector at every layer", "name classes that differ")
    return Directions(unit.masked_fill(~live[..., None], 0.0).float(), norm, figures={"explained": shares})


def components(rows: Tensor, k: int | None, share: float) -> Directions:
    """The first principal axes of samples [n, L, d] about their mean, layer by layer: `k` of them, or as many as
    explain `share` of the variance. Layers that need fewer have zero rows. Figures: `explained`, `axes`.

    Raises MethodError where there are too few samples.
    """
    import torch

    n = len(rows)
    if n < 2 or (k is not None and k > n - 1):
        wanted = "a component" if k is None else f"{k} components"
        raise MethodError(f"{wanted} cannot be found in {n} prompts", "take more prompts, or fewer components")
    found = []
    for layer in range(rows.shape[1]):
        own = rows[:, layer].double()
        axes, shares = principal(own - own.mean(dim=0), n - 1)
        sums = shares.cumsum(dim=0)
        count = k if k is not None else int((sums < share - 1e-12).sum()) + 1
        count = min(count, int((shares > 0).sum()))
        found.append((axes[:count], sums[count - 1].item() if count else 0.0))
    most = max(len(axes) for axes, _ in found)
    if most == 0:
        raise MethodError("all prompts have the same activations at every layer", "read another position")
    unit = torch.zeros(rows.shape[1], most, rows.shape[2], dtype=torch.float64)
    norm = torch.zeros(rows.shape[1], most, dtype=torch.float64)
    for layer, (axes, _) in enumerate(found):
        unit[layer, : len(axes)], norm[layer, : len(axes)] = axes, 1.0
    figures = {"explained": [float(total) for _, total in found], "axes": [len(axes) for axes, _ in found]}
    return Directions(unit.float(), norm, figures=figures)


def correlation(raw: Tensor, axis: Tensor, numbers: Sequence[float]) -> float:
    """Pearson's correlation of the coordinates of raw vectors [C, d] along `axis` [d] with C numbers; nan where
    either side does not vary."""
    import torch

    given = torch.tensor(numbers, dtype=torch.float64)
    along = raw.double() @ axis.double()
    x, y = along - along.mean(), given - given.mean()
    size = x.norm() * y.norm()
    scale = along.abs().max() * given.abs().max()
    return float(x @ y / size) if size > 1e-12 * scale else float("nan")
