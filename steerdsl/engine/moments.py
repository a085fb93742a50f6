"""Streamed statistics of one class of activations.

In: rows float64 [L, B, d], batch by batch. Out: `methods.types.Activations`. Means and sums of squares are
merged by Chan's rule in float64, so the result does not depend on the batch size. The statistics are a
plain dict, and `take` and `merge` use torch alone: they run where the rows are, on a server too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steerdsl.methods.types import Activations

if TYPE_CHECKING:
    from torch import Tensor


def take(state: dict[str, Any], x: Tensor, keep_rows: bool) -> None:
    """Take a batch of rows, float64 [L, B, d], into `state`: n, the mean [L, d], the sum of squared
    deviations [L, d], the norms, a list of [L, B], and with `keep_rows` the rows, a list of float32 [B, L, d]."""
    mean = x.mean(dim=1)
    batch = {
        "n": x.shape[1],
        "mean": mean,
        "squares": (x - mean[:, None]).square().sum(dim=1),
        "norms": [x.norm(dim=-1)],
        "rows": [x.float().transpose(0, 1).contiguous()] if keep_rows else [],
    }
    merge(state, batch)


def merge(state: dict[str, Any], other: dict[str, Any]) -> None:
    """Take the statistics of other rows into `state`, which may be empty yet."""
    if not state:
        state.update(other)
        return
    delta, total = other["mean"] - state["mean"], state["n"] + other["n"]
    state["squares"] = state["squares"] + other["squares"] + delta.square() * (state["n"] * other["n"] / total)
    state["mean"] = state["mean"] + delta * (other["n"] / total)
    state["n"] = total
    state["norms"] = [*state["norms"], *other["norms"]]
    state["rows"] = [*state["rows"], *other["rows"]]


def result(state: dict[str, Any], order: Tensor | None = None) -> Activations:
    """The class's statistics; `order` [n] puts kept rows back into the order of the prompts."""
    import torch

    n = state["n"]
    # torch's quantile refuses more than 16 million numbers.
    norms = torch.cat(state["norms"], dim=1).sort(dim=1).values
    rows = torch.cat(state["rows"]) if state["rows"] else None
    if rows is not None and order is not None:
        rows = rows[torch.argsort(order, stable=True)]
    return Activations(
        n=n,
        mean=state["mean"],
        variance=state["squares"] / (n - 1) if n > 1 else None,
        median_norm=(norms[:, (n - 1) // 2] + norms[:, n // 2]) / 2,
        rows=rows,
        mean_inverse_norm=norms.reciprocal().mean(dim=1),
    )
