"""The one guard at the door of every pass: a text must fit the model's context.

In: the inputs of a pass and the model's sites. Out: nothing, or a RecipeError M611. Some models fail inside
a pass that is too long, others give figures from positions that they were never trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.sites import Architecture


def require_fit(inputs: Sequence[Mapping[str, Tensor]], arch: Architecture, new_tokens: int = 0) -> None:
    """Raise RecipeError M611 when a text, continued by `new_tokens`, is longer than the model's context."""
    room = arch.max_positions
    longest = max(int(given["attention_mask"].sum(-1).max()) for given in inputs)
    if room is None or longest + new_tokens <= room:
        return
    more = f" and {new_tokens} new ones" if new_tokens else ""
    title = f"a text has {longest} tokens{more}, more than the {room} of the model's context"
    help = "shorten the prompts and what is read after them, or take a model with a longer context"
    raise RecipeError([Diagnostic("M611", title, help=help)], Exit.FAILED)
