"""How tensors travel to a server: each with its own numbers, and no more.

In: what nnsight pickles of a request, a rehearsal's too. Out: the same, where a tensor that is a view does not take
along the storage that it looks into. Importing this module is enough; every request goes through it.
"""

from __future__ import annotations

from typing import Any

import torch
from nnsight.intervention.serialization import CustomCloudPickler


def reduced(tensor: torch.Tensor) -> tuple[Any, ...]:
    """A tensor as pickle takes it, without what else its storage holds."""
    own = tensor.numel() * tensor.element_size()
    if tensor.layout == torch.strided and tensor.untyped_storage().nbytes() > own:
        tensor = tensor.detach().clone(memory_format=torch.contiguous_format)
    found: tuple[Any, ...] = tensor.__reduce_ex__(4)  # type: ignore[no-untyped-call]
    return found


# The pickler of requests alone: everything else on this machine pickles tensors as torch does.
CustomCloudPickler.dispatch_table = CustomCloudPickler.dispatch_table.new_child({torch.Tensor: reduced})
