"""What each operation's kernel reads; the function is the operation's name and `_tensors`.

The kernels themselves are the registry's own: `eject` prints their source.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def ablate_tensors(
    unit: Tensor,
    by: float = 1.0,  # if: ablate_by
    toward: Tensor | None = None,  # if: ablate_toward
    alpha: float = 0.0,  # if: ablate_alpha
    norm: Tensor | None = None,  # if: ablate_alpha
) -> dict[str, Tensor]:
    """What `ablate` reads: an orthonormal basis of the span of unit rows [k, d].

    by: how much of the component is taken away.  # if: ablate_by
    toward: a class mean [d] whose component takes its place.  # if: ablate_toward
    alpha: how many raw vectors, of these norms [k], are added on top.  # if: ablate_alpha
    """
    # Directions that add nothing to the span of the others are dropped.
    _, sigma, axes = torch.linalg.svd(unit.double(), full_matrices=False)
    q = axes[sigma > 1e-6 * sigma[0]]
    p = {"unit": q, "reader": q}
    if by != 1.0:  # if: ablate_by
        p["share"] = torch.tensor(by)  # if: ablate_by
    if toward is not None:  # if: ablate_toward
        p["bias"] = q @ toward.double()  # if: ablate_toward
    if norm is not None:  # if: ablate_alpha
        p["step"] = alpha * (norm @ unit.double())  # if: ablate_alpha
    return {name: tensor.float() for name, tensor in p.items()}


def add_tensors(
    unit: Tensor,
    norm: Tensor,
    times: float | None = None,  # if: add_times
    share: float | None = None,  # if: add_share
) -> dict[str, Tensor]:
    """What `add` reads.

    times: a multiple of the raw vector; of several directions, of their sum.  # if: add_times
    share: a share of each token's own norm, along the unit direction.  # if: add_share
    """
    raw = norm @ unit.double()
    p = {}
    if times is not None:  # if: add_times
        p["step"] = times * raw  # if: add_times
    if share is not None:  # if: add_share
        along = unit.double()[0] if len(unit) == 1 else raw  # if: add_share
        p["unit"] = along / along.norm()  # if: add_share
        p["share"] = torch.tensor(share)  # if: add_share
    return {name: tensor.float() for name, tensor in p.items()}


def clamp_tensors(unit: Tensor, to: float) -> dict[str, Tensor]:
    """What `clamp` reads: one unit direction, and the coordinate along it."""
    return {"unit": unit[0], "to": torch.tensor(to)}


def cap_tensors(unit: Tensor, to: float) -> dict[str, Tensor]:
    """What `cap` reads: one unit direction, and the largest coordinate along it."""
    return {"unit": unit[0], "to": torch.tensor(to)}


def rotate_tensors(
    basis: Tensor,
    by: float | None = None,  # if: rotate_by
    to: float | None = None,  # if: rotate_to
) -> dict[str, Tensor]:
    """What `rotate` reads: a plane's basis [2, d], and an angle in degrees.

    by: the angle to turn by, from where an activation is.  # if: rotate_by
    to: the angle to turn to, from the plane's first axis.  # if: rotate_to
    """
    p = {"basis": basis}
    if by is not None:  # if: rotate_by
        # cos θ - 1, written so that it is exact for small angles.  # if: rotate_by
        c = -2 * math.sin(math.radians(by) / 2) ** 2  # if: rotate_by
        s = math.sin(math.radians(by))  # if: rotate_by
        turn = [[c, s], [-s, c]]  # if: rotate_by
        p["turn"] = torch.tensor(turn, dtype=torch.float64)  # if: rotate_by
    if to is not None:  # if: rotate_to
        c, s = math.cos(math.radians(to)), math.sin(math.radians(to))  # if: rotate_to
        p["aim"] = c * basis[0] + s * basis[1]  # if: rotate_to
    return {name: tensor.float() for name, tensor in p.items()}
