"""Streamed statistics of one class of activations.

In: rows float64 [L, B, d], batch by batch. Out: `methods.types.Activations`. Means and sums of squares are
merged by Chan's rule in float64, so the result does not depend on the batch size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steerdsl.methods.types import Activations

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True)
class Moments:
    """Running mean [L, d] and sum of squared deviations [L, d] of `n` rows."""

    keep_rows: bool = False
    n: int = 0
    mean: Tensor | None = None
    squares: Tensor | None = None
    norms: list[Tensor] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)

    def add(self, x: Tensor) -> None:
        """Take in a batch of rows, float64 [L, B, d]."""
        count = x.shape[1]
        mean = x.mean(dim=1)
        squares = (x - mean[:, None]).square().sum(dim=1)
        if self.mean is None or self.squares is None:
            self.mean, self.squares = mean, squares
        else:
            delta = mean - self.mean
            total = self.n + count
            self.squares = self.squares + squares + delta.square() * (self.n * count / total)
            self.mean = self.mean + delta * (count / total)
        self.n += count
        self.norms.append(x.norm(dim=-1))
        if self.keep_rows:
            self.rows.append(x.float().transpose(0, 1))

    def result(self, order: Tensor | None = None) -> Activations:
        """The class's statistics; `order` [n] puts kept rows back into the order of the prompts."""
        import torch

        assert self.mean is not None and self.squares is not None
        # torch's quantile refuses more than 16 million numbers.
        norms = torch.cat(self.norms, dim=1).sort(dim=1).values
        rows = torch.cat(self.rows) if self.keep_rows else None
        if rows is not None and order is not None:
            rows = rows[torch.argsort(order, stable=True)]
        return Activations(
            n=self.n,
            mean=self.mean,
            variance=self.squares / (self.n - 1) if self.n > 1 else None,
            median_norm=(norms[:, (self.n - 1) // 2] + norms[:, self.n // 2]) / 2,
            rows=rows,
        )
