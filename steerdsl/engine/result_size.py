"""How many batches share a request to a server: bounded by prompts, and by the bytes of what is asked for.

In: batches, and what each weighs. Out: the batches of each request. Only what is read of prompts is joined:
answers and readings of logits, a few bytes a token, go batch by batch, since what was done of a request is lost
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models.batching import Batch

PROMPTS = 64  # of one request: servers limit its time
BYTES = 8 * 2**20  # of what one request brings back, where it has more than one prompt
TOO_MUCH = ("R824", "R831")  # it does not fit over the wire, or into the server's time

T = TypeVar("T")


def joined(found: Iterable[Batch], on: str, weigh: Callable[[Batch], int]) -> Iterator[list[Batch]]:
    """The batches of each request: each alone on this machine, where a request costs nothing. A batch that
    weighs more than BYTES is cut."""
    if on == "local":
        yield from ([batch] for batch in found)
        return
    group: list[Batch] = []
    for batch in (part for whole in found for part in _fitting(whole, weigh)):
        both = [*group, batch]
        if group and (sum(len(b.index) for b in both) > PROMPTS or sum(map(weigh, both)) > BYTES):
            yield group
            both = [batch]
        group = both
    if group:
        yield group


def in_parts(group: Sequence[Batch], ask: Callable[[Sequence[Batch]], T]) -> Iterator[tuple[Sequence[Batch], T]]:
    """What `ask` gives of a group; where a server cannot take or finish it at once, of its halves, down to
    single prompts. Raises what `ask` raises."""
    try:
        given = ask(group)
    except RecipeError as error:
        parts = _halves(group)
        if len(parts) == 1 or error.diagnostics[0].code not in TOO_MUCH:
            raise
        for part in parts:
            yield from in_parts(part, ask)
    else:
        yield group, given


def _fitting(batch: Batch, weigh: Callable[[Batch], int]) -> Iterator[Batch]:
    if weigh(batch) <= BYTES or len(batch.index) == 1:
        yield batch
        return
    for part in _halves([batch]):
        yield from _fitting(part[0], weigh)


def _halves(group: Sequence[Batch]) -> list[Sequence[Batch]]:
    """A group in two, or its one batch in two; a single prompt stays whole."""
    if len(group) > 1:
        middle = len(group) // 2
        return [group[:middle], group[middle:]]
    (batch,) = group
    middle = len(batch.index) // 2
    if not middle:
        return [group]
    # The padding stays: each prompt is read as it would have been.
    return [
        [replace(batch, index=batch.index[part], input_ids=batch.input_ids[part], mask=batch.mask[part])]
        for part in (slice(middle), slice(middle, None))
    ]
