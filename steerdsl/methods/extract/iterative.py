"""`iterative`: extract, ablate what was found, extract again.

In: both class means, and `recapture`, which runs the model with directions ablated. Out: up to k
orthonormal directions for each layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from steerdsl.methods.axes import apart
from steerdsl.methods.contrast import difference, negligible
from steerdsl.methods.types import Activations, Directions, MethodError
from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor

Recapture: TypeAlias = "Callable[[Tensor], tuple[Activations, Activations]]"


def run(
    positive: Activations, negative: Activations, *, recapture: Recapture, k: int = 3, stop: float = 0.1
) -> Directions:
    """k rounds of diffmean, each on activations captured with the earlier directions ablated.

    A layer stops, with zero rows from there on, when what its round finds across the earlier
    directions is shorter than `stop` times its first raw vector. figures: `overlap`, for each round
    and layer the largest |cosine| of its raw vector with the earlier directions (near 0 when the
    ablation took hold), and the number of `rounds`.
    Raises MethodError when k or stop is out of range, or when the classes agree at every layer.
    """
    import torch

    if k < 1:
        raise MethodError(f"k must be at least 1, not {k}", "leave it out for 3")
    if not 0 <= stop < 1:
        raise MethodError(f"stop must be at least 0 and below 1, not {stop:g}", "leave it out for 0.1")
    raw = difference(positive, negative)
    least = (stop * raw.norm(dim=-1)).masked_fill(negligible(raw, positive, negative), torch.inf)
    found = raw[:, None][:, :0]
    norms: list[Tensor] = []
    overlaps: list[list[float]] = []
    for round_ in range(k):
        if round_:
            raw = difference(*recapture(found.float()))
        new = torch.stack([apart(vector, basis) for vector, basis in zip(raw, found, strict=True)])
        norm = new.norm(dim=-1)
        least = least.masked_fill(norm <= least, torch.inf)
        if bool(least.isinf().all()):
            break
        unit = (new / norm[:, None]).masked_fill(least.isinf()[:, None], 0.0)
        overlaps.append([_overlap(vector, basis) for vector, basis in zip(raw, found, strict=True)])
        norms.append(norm.masked_fill(least.isinf(), 0.0))
        found = torch.cat([found, unit[:, None]], 1)
    figures: dict[str, Any] = {"overlap": overlaps, "rounds": len(norms)}
    return Directions(found.float(), torch.stack(norms, 1), figures=figures)


def _overlap(vector: Tensor, basis: Tensor) -> float:
    """The largest |cosine| of `vector` with the rows of `basis` [j, d]; 0 where either is empty."""
    norm = float(vector.norm())
    return float((basis @ vector).abs().max()) / norm if len(basis) and norm > 0 else 0.0


ENTRY = Entry(
    kind="extract",
    name="iterative",
    summary="the difference of means, repeated with the directions found so far ablated everywhere",
    when=(
        "Use it when the concept is still there after one direction is ablated. Not for `clamp`, planes and "
        "conditions, which need a single direction; each round runs the model again."
    ),
    run=run,
    args=(
        Arg("k", "int", 3, "the maximum number of directions", least=1),
        Arg("stop", "number", 0.1, "a layer is finished when its difference is below this share of its first", least=0),
    ),
    formula="r_j = mean(P) - mean(N) with r_1 … r_(j-1) ablated everywhere; Q = orthonormal (r_1 … r_k)",
    paper="notes on refusal ablation and activation-space geometry; cf. Ravfogel et al. 2020, section 4",
    example="topic = extract iterative from econ vs generic at last_token with k: 2",
    needs=frozenset({"recapture"}),
    aliases=("iterate", "inlp", "repeated"),
)
