"""Draw the tokens of sampled answers, each answer from its own random numbers.

In: for each row of a batch a temperature and uniform numbers, one for each token. Out: what transformers
calls a logits processor. Decoding is always greedy: the processor leaves a sampled row one token to choose.
So greedy and sampled rows share a batch, and no row's draw depends on its neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def uniforms(seed: int, ids: Sequence[int], copy: int, sample: int, count: int) -> list[float]:
    """`count` numbers in [0, 1), multiples of 2^-53, for the answer number `sample` to the prompt `ids`,
    before which its data set has had `copy` equal ones. A larger count only adds numbers to the end."""
    told = ",".join(map(str, (seed, copy, sample, *ids)))
    drawn = hashlib.shake_256(told.encode()).digest(8 * count)
    return [(int.from_bytes(drawn[i : i + 8], "little") >> 11) * 2.0**-53 for i in range(0, len(drawn), 8)]


def chooser(temperatures: Tensor, numbers: Tensor, width: int) -> Callable[[Any, Any], Any]:
    """The processor for a batch whose prompts have `width` tokens, padding included: sampled rows are left the token
    that `drawer` draws for them."""
    return processor(drawer(temperatures, numbers), width)


def processor(draw: Callable[..., Any], width: int) -> Callable[[Any, Any], Any]:
    """What leaves each sampled row the token that `draw` gives it. It travels to a server by value, so it uses torch
    alone."""

    def choose(input_ids: Any, scores: Any) -> Any:
        rows, chosen = draw(scores, input_ids.shape[1] - width)
        if not rows:
            return scores
        only = scores.new_full((len(rows), scores.shape[-1]), -float("inf"))
        scores = scores.clone()
        scores[rows] = only.scatter(-1, chosen[:, None].to(scores.device), 0.0)
        return scores

    return choose


def drawer(temperatures: Tensor, numbers: Tensor) -> Callable[..., Any]:
    """What draws tokens for a batch: rows with a temperature [B] choose by the inverse of their distribution function
    at their numbers, float64 [B, S].

    It is given the scores of some rows, the number of the token, and the places of these rows in the batch (None:
    all), and gives which of them are sampled, and their tokens. It travels to a server by value, as `processor` does.
    """
    heat, numbers = temperatures.double(), numbers.double()
    sampled = [temperature > 0 for temperature in heat.tolist()]

    def draw(scores: Any, step: int, rows: Any = None) -> Any:
        import torch

        places = range(len(sampled)) if rows is None else rows
        own = [at for at, place in enumerate(places) if sampled[place]]
        chosen = []
        # On a processor row by row: the numbers of one fit its cache.
        size = 1 if scores.device.type == "cpu" else max(1, len(own))
        for start in range(0, len(own), size):
            part = own[start : start + size]
            of = [places[at] for at in part]
            x = scores[part]
            x = (x if x.device.type != "mps" else x.cpu()).double()  # Apple's GPU has no float64
            x = x.sub_(x.amax(-1, keepdim=True)).div_(heat[of][:, None].to(x.device))
            heaped = x.exp_().cumsum_(-1)
            at = numbers[of, step][:, None].to(x.device) * heaped[:, -1:]
            # How many sums are no larger. The last sum is: only scores that are not finite need the bound.
            chosen.append(torch.searchsorted(heaped, at, right=True)[:, 0].clamp(max=heaped.shape[-1] - 1))
        return own, torch.cat(chosen) if chosen else None

    return draw
