"""Puts rendered prompts of unequal length into batches.

In: `Rendered` prompts. Out: `Batch`es, padded on the left, with the mask that tells padding from text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from steerdsl.models.prompts import Rendered


@dataclass(frozen=True, slots=True)
class Batch:
    """index: which prompts, by their place in the list given. input_ids: int64 [B, S], padded on the
    left. mask: bool [B, S], False at padding."""

    index: tuple[int, ...]
    input_ids: Tensor
    mask: Tensor


def batches(
    rendered: Sequence[Rendered], size: int, pad: int, order: Literal["length", "given"] = "length"
) -> list[Batch]:
    """Split prompts into batches of at most `size`; "length" puts similar lengths together, which
    wastes the least padding, longest first, so that too large a batch fails at once."""
    places = list(range(len(rendered)))
    if order == "length":
        places.sort(key=lambda i: -len(rendered[i].ids))
    groups = [places[start : start + size] for start in range(0, len(places), size)]
    return [joined([rendered[i].ids for i in group], pad, group) for group in groups]


def pad_id(tokenizer: Any) -> int:
    """The id that fills a batch: the padding token, else the end token, else 0; it is masked out."""
    found = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(int(token) for token in found if token is not None)


def joined(rows: Sequence[Sequence[int]], pad: int, index: Sequence[int] | None = None) -> Batch:
    """One batch of these rows of token ids."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for number, row in enumerate(rows):
        ids[number, longest - len(row) :] = torch.tensor(row)
        mask[number, longest - len(row) :] = True
    return Batch(tuple(range(len(rows)) if index is None else index), ids, mask)
