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
    """The processor for a batch whose prompts have `width` tokens, padding included: rows with a
    temperature [B] choose by the inverse of their distribution function at their numbers, float64 [B, S].

    It travels to a server by value, so it uses torch alone.
    """
    drawn = [row for row, temperature in enumerate(temperatures.tolist()) if temperature > 0]
    heat, numbers = temperatures[drawn].double()[:, None], numbers[drawn]

    def choose(input_ids: Any, scores: Any) -> Any:
        if not drawn:
            return scores
        rows = scores[drawn]
        rows = (rows if rows.device.type != "mps" else rows.cpu()).double()  # Apple's GPU has no float64
        rows = (rows - rows.amax(-1, keepdim=True)) / heat.to(rows.device)
        heaped = rows.exp_().cumsum(-1)
        at = numbers[:, input_ids.shape[1] - width, None].to(rows.device) * heaped[:, -1:]
        # The last sum is above: only scores that are not finite need the bound.
        chosen = (heaped <= at).sum(-1, keepdim=True).clamp(max=heaped.shape[-1] - 1)
        only = scores.new_full((len(drawn), scores.shape[-1]), -float("inf"))
        scores = scores.clone()
        scores[drawn] = only.scatter(-1, chosen.to(scores.device), 0.0)
        return scores

    return choose
