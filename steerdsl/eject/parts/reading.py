"""Reading activations: one forward pass for each batch, statistics as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nnsight
import torch
from torch import Tensor

from steerdsl.eject.parts.batching import batches
from steerdsl.eject.parts.prompts import Prompt, read_prompts
from steerdsl.eject.parts.settings import BATCH_SIZE, READ


def blocks(model: Any) -> Any:
    """The model's blocks; `eject.sites` writes this model's own."""
    return model.model.layers


def zero() -> Tensor:
    """A float64 zero, where a sum starts."""
    return torch.zeros((), dtype=torch.float64)


@dataclass
class Statistics:
    """The mean [L, d] of one class at L layers, and the norms of its activations.

    Batches are merged as they come (Chan, Golub and LeVeque 1979), in float64, so that no
    activation has to be kept and the batch size does not matter.
    squares [L, d]: the squared deviations from the mean, for the variance.  # if: variance
    """

    n: int = 0
    mean: Tensor = field(default_factory=zero)
    squares: Tensor = field(default_factory=zero)  # if: variance
    norms: list[Tensor] = field(default_factory=list)

    def add(self, x: Tensor) -> None:
        """Take in the samples of a batch: float64 [L, B, d]."""
        count = x.shape[1]
        total = self.n + count
        mean = x.mean(dim=1)
        delta = mean - self.mean
        inside = (x - mean[:, None]).square().sum(dim=1)  # if: variance
        between = delta.square() * (self.n * count / total)  # if: variance
        self.squares = self.squares + inside + between  # if: variance
        self.mean = self.mean + delta * (count / total)
        self.norms.append(x.norm(dim=-1))
        self.n = total

    def median_norm(self) -> Tensor:
        """The usual length of an activation at each layer: float64 [L]."""
        return torch.cat(self.norms, dim=1).quantile(0.5, dim=1)


def capture(
    model: Any,
    tokenizer: Any,
    rows: Mapping[int, Any],
    layers: Sequence[int],
    stream: Callable[[Any], Tensor],
    position: Callable[[Prompt], range],
    pick: Callable[[Tensor, Tensor], Tensor],
) -> Statistics:
    """Statistics of one stream over one class of prompts, every layer in one pass."""
    prompts = read_prompts(tokenizer, rows)
    statistics = Statistics()
    size = BATCH_SIZE  # if: not fitted
    size = max(1, READ // max(len(prompt.ids) for prompt in prompts))  # if: fitted
    for index, batch in batches(prompts, size):
        width = batch["input_ids"].shape[1]
        picked = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        for row, i in enumerate(index):
            for token_number in position(prompts[i]):
                # The padding on the left moves every token to the right.
                picked[row, width - len(prompts[i].ids) + token_number] = True
        with torch.no_grad(), model.trace(batch) as tracer:
            # What is made inside a trace is lost unless nnsight is told to save it.
            found = nnsight.save([])
            for layer in layers:
                found.append(pick(stream(blocks(model)[layer]), picked))
            tracer.stop()  # nothing after the last layer is needed
        statistics.add(torch.stack(list(found)))
    return statistics
