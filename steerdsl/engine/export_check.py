"""Whether exported weights do what their steer does to activations, measured before an export gets its name.

In: a model, the touches of a steer, and an edited copy of the model. Out: the difference of their logits on tokens
that nothing was found with, in float32; MethodError M670 where it is more than rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from steerdsl.engine.attached import attached
from steerdsl.methods.types import MethodError

if TYPE_CHECKING:
    from steerdsl.engine.edits import Touch
    from steerdsl.models.opened import Opened

EXACT = 2e-4  # of the largest logit: float32's rounding through all layers, with room
# What the rounding of edited weights to their own dtype may add, as a share of the largest logit.
ROUNDED = {torch.float32: EXACT, torch.float64: EXACT, torch.float16: 1e-2}
COARSE = 5e-2
ROWS, TOKENS = 3, 24
SEED = 8


@dataclass(frozen=True, slots=True)
class SteeredLogits:
    """What a steer makes of the logits of some tokens, float32 [rows, tokens, vocab], and what they are without it."""

    ids: Tensor
    steered: Tensor
    plain: Tensor

    @property
    def size(self) -> float:
        """The largest logit."""
        return float(self.steered.abs().max())

    def require(self, model: Any, what: str, dtype: torch.dtype = torch.float32) -> float:
        """Hold a model's logits to the steer's; returns the difference as a share of the largest logit.

        dtype: what the weights were rounded to. In float32 every token must agree; in others the median one, since a
        rounding may send a token to another expert. Raises MethodError M670.
        """
        exact = ROUNDED.get(dtype) == EXACT
        off = _figure(logits(model, self.ids) - self.steered, exact)
        effect = _figure(self.plain - self.steered, exact)
        share = off / self.size
        lost = off > 0.5 * effect and share > EXACT
        if share <= ROUNDED.get(dtype, COARSE) and not lost:
            return share
        kind = str(dtype).removeprefix("torch.")
        raise MethodError(
            f"{what} does not do what the steer does: its logits differ by {off:.3g}, where the steer changes them by "
            f"{effect:.3g} and the largest is {self.size:.3g} (weights in {kind})",
            'run the steer on the model, or export with `dtype: "fp32"` where rounding is to blame',
            "M670",
        )


def _figure(difference: Tensor, exact: bool) -> float:
    """The largest number of a difference at the worst token, or at the median one."""
    each = difference.abs().amax(-1)
    return float(each.max() if exact else each.median())


def wanted(opened: Opened, model: Any, touches: Sequence[Touch]) -> SteeredLogits:
    """What the steer makes of `model`, a float32 copy of the opened one."""
    ids = _tokens(opened).to(next(model.parameters()).device)
    plain = logits(model, ids)
    with attached(model, touches):
        steered = logits(model, ids)
    return SteeredLogits(ids, steered, plain)


def in_float32(model: Any) -> Any:
    """A copy of a model, float32, in eval mode."""
    return copy.deepcopy(model).float().eval()


def logits(model: Any, ids: Tensor) -> Tensor:
    """float32 [rows, tokens, vocab]."""
    with torch.no_grad():
        found: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return found.float()


def _tokens(opened: Opened) -> Tensor:
    """Tokens at random, without those that stand for images, the ends of turns and the like."""
    text = opened.model.config.get_text_config()
    apart = {*opened.tokenizer.added_tokens_decoder, *opened.tokenizer.all_special_ids}
    for config in (opened.model.config, text):
        named = (v for k, v in config.to_dict().items() if k.endswith(("token_id", "token_index")))
        apart |= {token for v in named for token in (v if isinstance(v, list) else [v])}
    plain = torch.tensor([i for i in range(text.vocab_size) if i not in apart] or [0])
    count = min(TOKENS, opened.arch.max_positions or TOKENS)
    return plain[torch.randint(len(plain), (ROWS, count), generator=torch.Generator().manual_seed(SEED))]
