"""Planes to rotate in; the function of a kind of plane is `plane_` and its name in the language."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from steerdsl.eject.parts.extract import gaussian
from steerdsl.eject.parts.vectors import Vector


def candidates(vector: Vector, layers: Sequence[int], unit: bool = True) -> Tensor:
    """The directions of some layers that are not zero: float64 [K, d]."""
    rows = [vector.layers.index(layer) for layer in layers]
    raw = vector.unit[rows].double() * vector.raw_norm[rows][..., None]
    raw = raw.flatten(0, 1)
    norms = raw.norm(dim=-1)
    raw, norms = raw[norms > 0], norms[norms > 0]
    return raw / norms[:, None] if unit else raw


def basis_of(first: Tensor, second: Tensor) -> Tensor:
    """The plane of two directions as an ordered orthonormal basis: float64 [2, d].

    Angles run from the first axis toward the second.
    """
    b1 = first.double() / first.double().norm()
    rest = second.double()
    # Gram-Schmidt, twice: once leaves rounding errors as large as what it takes away.
    for _ in range(2):
        rest = rest - (rest @ b1[None].T) @ b1[None]
    if rest.norm() < 0.05 * second.norm():
        raise SystemExit("the plane's two directions are nearly the same")
    return torch.stack([b1, rest / rest.norm()])


def plane_pc1(first: Tensor, among: Tensor) -> Tensor:
    """A direction, and the main axis in which the candidates differ."""
    centred = among - among.mean(0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    # The sign of a principal component is arbitrary, and it turns 210° into 150°. The
    # rule here: the later half of the candidates lies on its positive side.
    later = (centred @ axes[0])[len(among) // 2 :].mean()
    return basis_of(first, axes[0] if later > 0 else -axes[0])


def plane_vector(first: Tensor, second: Tensor) -> Tensor:
    """The plane of two named directions."""
    return basis_of(first, second)


def plane_random(first: Tensor, seed: int = 0) -> Tensor:
    """A direction and a random second axis: the control for every other plane."""
    # A stream of numbers apart from every layer's.
    return basis_of(first, gaussian(seed, 2**63, len(first)))
