"""`lda`: the difference of the means, whitened by the spread within the classes.

In: every sample's activation. Out: a direction for each layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.methods.contrast import difference, layer_rows, require_samples, toward_positive
from steerdsl.methods.types import Activations, Directions
from steerdsl.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor

SINGULAR = 1e-12  # least ridge, as a share of the mean variance: keeps an unshrunk Σw invertible


def run(positive: Activations, negative: Activations) -> Directions:
    """(Σw + λI)^-1 (mean(P) - mean(N)), with Ledoit and Wolf's shrinkage of the within-class Σw.

    figures: the shrinkage of each layer. Raises MethodError with one sample in a class, or when
    the classes agree at every layer.
    """
    import torch

    require_samples("lda", positive, negative)
    axes, shrinkages = [], []
    for i, delta in enumerate(difference(positive, negative)):
        rows = [layer_rows(a, i) for a in (positive, negative)]
        x = torch.cat([r - r.mean(0) for r in rows])
        shrinkage = ledoit_wolf(x)
        w = whitened(x, delta, shrinkage)
        axes.append(w / w.norm().where(w.norm() > 0, 1.0))
        shrinkages.append(shrinkage)
    return toward_positive(torch.stack(axes)[:, None], positive, negative, {"shrinkage": shrinkages})


def ledoit_wolf(x: Tensor) -> float:
    """The weight δ of the identity in (1-δ)S + δ·tr(S)/d·I, for centred rows x [n, d], S = xᵀx/n.

    Ledoit and Wolf 2004, lemma 3.2 and section 3.3. Uses the n x n or the d x d product, the smaller.
    """
    n, d = x.shape
    product = x @ x.T if n < d else x.T @ x
    trace = float(product.trace()) / n
    square = float(product.square().sum()) / n**2  # ‖S‖²
    distance = square - trace**2 / d  # ‖S - tr(S)/d·I‖²
    noise = (float(x.square().sum(1).square().sum()) / n - square) / n
    return min(noise, distance) / distance if distance > 0 else 1.0


def whitened(x: Tensor, delta: Tensor, shrinkage: float) -> Tensor:
    """((1-δ)S + δ·tr(S)/d·I)^-1 delta up to scale; by Woodbury's identity when n < d."""
    import torch

    n, d = x.shape
    if shrinkage >= 1.0 or not bool(x.any()):
        return delta
    ridge = max(shrinkage / (1 - shrinkage), SINGULAR) * float(x.square().sum()) / d  # of n·S
    if n < d:
        inner: Tensor = torch.linalg.solve(x @ x.T + ridge * torch.eye(n, dtype=x.dtype), x @ delta)
        return delta - x.T @ inner
    solution: Tensor = torch.linalg.solve(x.T @ x + ridge * torch.eye(d, dtype=x.dtype), delta)
    return solution


ENTRY = Entry(
    kind="extract",
    name="lda",
    summary="the difference of the class means, whitened by the within-class covariance",
    when=(
        "Use it when features that vary a lot for other reasons dominate the difference of means. It is made for "
        "telling classes apart, so compare it with `diffmean` before steering with it."
    ),
    run=run,
    formula="(Σw + λI)^-1 (mean(P) - mean(N)), λ by Ledoit-Wolf",
    paper="Fisher 1936; Ledoit and Wolf 2004, section 3",
    example="topic = extract lda from econ vs generic at last_token",
    needs=frozenset({"rows"}),
    aliases=("fisher", "fisher_lda", "whitened", "whitened_diffmean", "linear_discriminant"),
)
