"""`leace`: the smallest edit after which no linear probe can tell the classes apart.

In: every sample's activation. Out: for each layer an oblique projection and its offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.contrast import difference, layer_rows, negligible, require_samples
from steerdsl.methods.extract.diffmean import normalised
from steerdsl.methods.types import Activations, Directions
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor


def run(positive: Activations, negative: Activations) -> Directions:
    """h' = h - û (reader·(h - μ)), û ∝ Δ = mean(P) - mean(N), reader ∝ Σ⁺Δ, reader·û = 1.

    For two classes the cross-covariance with the label is a multiple of Δ, so the least-squares
    eraser W⁺ u uᵀ W (W = Σ^-½, u = unit(WΔ)) is this one oblique direction. Σ is the covariance of
    both classes pooled, not shrunk; with fewer samples than dimensions its pseudo-inverse is used,
    and the erasure is exact for the samples seen and no more than a guess off their span.
    Raises MethodError with one sample in a class, or when the classes agree at every layer.
    """
    import torch

    require_samples("leace", positive, negative)
    delta = difference(positive, negative)
    zero = negligible(delta, positive, negative)
    unit, norm = normalised(delta, zero)
    readers, offsets = [], []
    for i, v in enumerate(delta):
        rows = torch.cat([layer_rows(positive, i), layer_rows(negative, i)])
        mean = rows.mean(0)
        reader = torch.zeros_like(v) if zero[i] else solve(rows - mean, v)
        readers.append(reader * norm[i])
        offsets.append(mean)
    reader = torch.stack(readers)[:, None].float()
    return Directions(unit, norm, reader, torch.stack(offsets).float())


def solve(x: Tensor, delta: Tensor) -> Tensor:
    """Σ⁺Δ / (ΔᵀΣ⁺Δ) for Σ ∝ xᵀx, from the singular values of centred rows x [n, d]."""
    import torch

    sigma: Tensor
    vt: Tensor
    _, sigma, vt = torch.linalg.svd(x, full_matrices=False)
    keep = sigma > sigma[0] * max(x.shape) * torch.finfo(x.dtype).eps
    coordinates = vt[keep] @ delta / sigma[keep].square()
    w = vt[keep].T @ coordinates
    return w / (delta @ w)


ENTRY = Entry(
    kind="extract",
    name="leace",
    summary="least-squares concept erasure: an oblique direction and an offset for `ablate`",
    when=(
        "Use it with `ablate` to make the classes linearly indistinguishable with the smallest change. Not for a "
        "checkpoint, which cannot represent it; with fewer prompts than dimensions it is exact only for the prompts "
        "seen."
    ),
    run=run,
    formula="h' = h - Δ·(ΔᵀΣ⁺(h - μ))/(ΔᵀΣ⁺Δ)",
    paper="Belrose et al. 2023, section 4",
    example="topic = extract leace from econ vs generic at last_token",
    needs=frozenset({"rows"}),
    oblique=True,
    aliases=("concept_erasure", "erasure"),
)
