"""From prompts to batches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from steerdsl.eject.parts.prompts import Prompt
from steerdsl.eject.parts.settings import PAD_ID


def batches(
    prompts: list[Prompt],
    size: int,
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
        ids = torch.full((len(index), width), PAD_ID)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(index):
            first = width - len(prompts[i].ids)
            ids[row, first:] = torch.tensor(prompts[i].ids)
            mask[row, first:] = 1
        yield index, {"input_ids": ids, "attention_mask": mask}
