"""From prompts to batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from steerdsl.eject.parts.prompts import Prompt


def pad_id(tokenizer: Any) -> int:
    """The token that fills a batch up; its place is masked, so any would do."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(token for token in known if token is not None)


def batches(
    prompts: list[Prompt],
    size: int,
    pad: int,
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Batches of at most `size` prompts, and which prompts they are.

    Similar lengths go together, which wastes the least padding; the longest go first, so
    that too large a batch fails at once. Padding stands on the left: the last column is
    then every prompt's last token, where the answer begins.
    """
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))
    for start in range(0, len(order), size):
        index = order[start : start + size]
        width = len(prompts[index[0]].ids)
        ids = torch.full((len(index), width), pad)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(index):
            first = width - len(prompts[i].ids)
            ids[row, first:] = torch.tensor(prompts[i].ids)
            mask[row, first:] = 1
        yield index, {"input_ids": ids, "attention_mask": mask}
