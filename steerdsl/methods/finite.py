"""The refusal to pass on a number that is not finite.

In: tensors that are about to become a vector, a plane, an edit or a file. Out: nothing, or one
`NotFinite` that names the thing and its layer. The engine holds activations and logits against the
same rule where they leave a forward pass (`engine.nan_guard`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steerdsl.methods.errors import NotFinite as NotFinite

if TYPE_CHECKING:
    from torch import Tensor

SMALLER = "make it of smaller numbers, or of activations read in bfloat16 or float32"

EXPORT_LESS = "export a smaller strength: what is not a number is not written into a file"


def finite(value: Tensor) -> bool:
    """Whether every number of a tensor is finite. Whole numbers always are."""
    return not value.is_floating_point() or bool(value.isfinite().all())


def require_rows(name: str, stream: str, layers: Sequence[int], tensors: Mapping[str, Tensor | None]) -> None:
    """Raise NotFinite R813 for the first layer at which one of `tensors` [L, …] has a number that is not
    finite."""
    for what, value in tensors.items():
        if value is None or finite(value):
            continue
        bad = (~value.flatten(1).isfinite()).any(dim=1).nonzero().flatten().tolist()
        raise NotFinite(f"the {what} of `{name}` is not finite at {_places(bad, layers)} of {stream}", SMALLER, "R813")


def require_tensors(name: str, tensors: Mapping[str, Tensor], way_out: str = SMALLER) -> None:
    """Raise NotFinite R813 for the first tensor with a number that is not finite; `name` is what they are
    parts of, as `the exported checkpoint`."""
    for part, value in tensors.items():
        if not finite(value):
            raise NotFinite(f"{name} would hold numbers that are not finite: {part}", way_out, "R813")


def _places(rows: Sequence[int], layers: Sequence[int]) -> str:
    named = [layers[row] for row in rows] if len(layers) > max(rows) else list(rows)
    return f"layer {named[0]}" if len(named) == 1 else f"layer {named[0]} and {len(named) - 1} more"
