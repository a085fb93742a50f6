"""Capture one class of prompts: from rendered prompts to the statistics of a stream at every layer.

In: rendered prompts, a position, a stream and layers. Out: `Activations`. One forward pass a batch
reads every layer, stops after the last, and keeps no activation that the method did not ask for.
Batches go to a server several at a time (`joining`), and only their statistics come back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steerdsl.engine.edits import Touch
from steerdsl.engine.moments import merge, result, take
from steerdsl.engine.nan_guard import require_activations
from steerdsl.engine.result_size import BYTES, in_parts, joined
from steerdsl.engine.tracing import Session
from steerdsl.lang.recipe import Position, Stream
from steerdsl.methods.types import Activations
from steerdsl.models.batching import Batch, batches, pad_id
from steerdsl.models.cache import Progress, no_progress
from steerdsl.models.positions import TokenSpan
from steerdsl.models.prompts import Rendered
from steerdsl.planning.batch_size import text_rows
from steerdsl.registry import find

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.sites import Architecture


def capture(
    session: Session,
    prompts: Sequence[Rendered],
    position: Position,
    stream: Stream,
    layers: Sequence[int],
    *,
    rows: bool = False,
    norms: bool = False,
    batch_size: int | None = None,
    touches: Sequence[Touch] = (),
    progress: Progress = no_progress,
) -> Activations:
    """Statistics of `stream` over `prompts` at `layers` (ascending), float64 [len(layers), width].

    A batch has at most `batch_size` prompts, or as many as are read at once. With `rows`, every sample's
    activation is kept too, in the order of the prompts. With `norms`, only their norms are read, as activations of
    width 1. With `touches`, activations are read after those edits. Raises RecipeError M614 for a position a prompt
    lacks, NotFinite R811 for activations that are nan or infinite.
    """
    import torch

    arch = session.opened.arch
    entry = find("position", position.name)
    readings = [entry.run(p, position.number) for p in prompts]
    size = batch_size or text_rows(max(len(p.ids) for p in prompts))
    found = batches(prompts, size, pad_id(session.opened.tokenizer))
    progress("reading activations", 0, len(prompts))
    part = _part(arch, stream)
    # What comes back of an activation: its norm, and with `rows` itself.
    each = 8 + (4 * arch.width(stream.name) if rows else 0)
    parts = []
    for own in _shares(layers, each * max(map(_most, readings)), session.on):
        reads = [arch.read(stream.name, layer).tap for layer in own]

        def ask(group: Sequence[Batch], reads: Sequence[tuple[str, str, float]] = reads) -> dict[str, Any]:
            jobs = [_job(batch, [readings[i] for i in batch.index]) for batch in group]
            return session.summarise(jobs, reads, part, rows, touches, norms)

        parts.append(_read(found, readings, each * len(own), session.on, ask, progress))
    made = _stacked([part for part, _ in parts])
    lengths = torch.cat([lengths for _, lengths in parts])
    require_activations(made, lengths, f"{stream.name}, {position.name}", layers, session)
    return made


@dataclass(frozen=True, slots=True)
class Want:
    """What is read of prompts: the arguments of `capture` that these names have there."""

    position: Position
    stream: Stream
    layers: Sequence[int]
    rows: bool
    norms: bool = False


def capture_several(
    session: Session,
    prompts: Sequence[Rendered],
    wants: Sequence[Want],
    *,
    batch_size: int | None = None,
    touches: Sequence[Touch] = (),
    progress: Progress = no_progress,
) -> list[Activations]:
    """What `capture` gives of each want. On this machine each prompt is read once for all of them; elsewhere, where
    requests are bounded, and with `touches`, once for each. Raises as `capture` does."""
    if len(wants) == 1 or session.on != "local" or touches:
        shared: dict[str, Any] = {"batch_size": batch_size, "touches": touches, "progress": progress}
        return [
            capture(session, prompts, w.position, w.stream, w.layers, rows=w.rows, norms=w.norms, **shared)
            for w in wants
        ]
    arch = session.opened.arch
    readings = [[find("position", w.position.name).run(p, w.position.number) for p in prompts] for w in wants]
    size = batch_size or text_rows(max(len(p.ids) for p in prompts))
    states: list[dict[str, Any]] = [{} for _ in wants]
    orders: list[list[int]] = [[] for _ in wants]
    done = 0
    progress("reading activations", 0, len(prompts))
    for batch in batches(prompts, size, pad_id(session.opened.tokenizer)):
        asked = []
        for want, own in zip(wants, readings, strict=True):
            columns, average, picked = _where(batch, [own[i] for i in batch.index])
            reads = [arch.read(want.stream.name, x).tap for x in want.layers]
            norms = _part(arch, want.stream) if want.norms else None
            asked.append({"reads": reads, "columns": columns, "average": average, "picked": picked, "norms": norms})
        for number, found in enumerate(session.captures(inputs(batch), asked)):
            part = slice(None) if wants[number].norms else _part(arch, wants[number].stream)
            take(states[number], found[..., part], wants[number].rows)
            orders[number] += _places(batch, readings[number])
        done += len(batch.index)
        progress("reading activations", done, len(prompts))
    return [_sound(state, order, want, session) for state, order, want in zip(states, orders, wants, strict=True)]


def _sound(state: dict[str, Any], order: Sequence[int], want: Want, session: Session) -> Activations:
    """The statistics of one want. Raises NotFinite R811."""
    import torch

    made = result(state, torch.tensor(order))
    where = f"{want.stream.name}, {want.position.name}"
    require_activations(made, torch.cat(state["norms"], dim=1), where, want.layers, session)
    return made


def _part(arch: Architecture, stream: Stream) -> slice:
    """The features of a stream that are kept: one head's, or all."""
    return arch.head_slice(stream.numbers[1], stream.numbers[0]) if stream.numbers else slice(None)


def _places(batch: Batch, readings: Sequence[TokenSpan]) -> list[int]:
    """For each sample of a batch the place of its prompt."""
    return [i for i in batch.index for _ in range(_most(readings[i]))]


def _read(
    found: Sequence[Batch],
    readings: Sequence[TokenSpan],
    each: int,
    on: str,
    ask: Callable[[Sequence[Batch]], dict[str, Any]],
    progress: Progress,
) -> tuple[Activations, Tensor]:
    """The statistics of all batches, request by request, and the norm of each sample, float64 [layers, samples];
    `each` are the bytes that come back of one sample."""
    import torch

    moments: dict[str, Any] = {}
    done, order = 0, list[int]()
    for request in joined(found, on, lambda batch: each * len(_places(batch, readings))):
        for group, given in in_parts(request, ask):
            merge(moments, given)
            order += [i for batch in group for i in _places(batch, readings)]
            done += sum(len(batch.index) for batch in group)
            progress("reading activations", done, len(readings))
    return result(moments, torch.tensor(order)), torch.cat(moments["norms"], dim=1)


def _most(reading: TokenSpan) -> int:
    """The samples that a prompt gives."""
    return 1 if reading.average else len(reading.indexes)


def _shares(layers: Sequence[int], each: int, on: str) -> list[Sequence[int]]:
    """The layers that are read in one request, where the largest prompt has `each` bytes a layer."""
    most = len(layers) if on == "local" else max(1, BYTES // each)
    count = -(-len(layers) // most)
    size = -(-len(layers) // count)
    return [layers[start : start + size] for start in range(0, len(layers), size)]


def _stacked(parts: Sequence[Activations]) -> Activations:
    """The statistics of some layers and of the next ones, of the same samples."""
    import torch

    if len(parts) == 1:
        return parts[0]
    spread = [part.variance for part in parts if part.variance is not None]
    rows = [part.rows for part in parts if part.rows is not None]
    return Activations(
        n=parts[0].n,
        mean=torch.cat([part.mean for part in parts]),
        variance=torch.cat(spread) if spread else None,
        median_norm=torch.cat([part.median_norm for part in parts]),
        rows=torch.cat(rows, 1) if rows else None,
        mean_inverse_norm=torch.cat([part.mean_inverse_norm for part in parts if part.mean_inverse_norm is not None]),
    )


def _job(batch: Batch, readings: Sequence[TokenSpan]) -> dict[str, Any]:
    """A batch as `Session.summarise` takes it."""
    columns, average, picked = _where(batch, readings)
    return {"inputs": inputs(batch), "columns": columns, "average": average, "picked": picked}


def inputs(batch: Batch) -> dict[str, Tensor]:
    """A batch as the model's keyword arguments. Positions count real tokens (GPT-2 needs it)."""
    return {
        "input_ids": batch.input_ids,
        "attention_mask": batch.mask.long(),
    }


def _where(batch: Batch, readings: Sequence[TokenSpan]) -> tuple[Tensor | None, bool, Tensor]:
    """Columns of single tokens, whether tokens are averaged, and the mask of those that are read."""
    import torch

    width = batch.input_ids.shape[1]
    starts = width - batch.mask.sum(dim=1)
    picked = torch.zeros_like(batch.mask)
    for row, reading in enumerate(readings):
        picked[row, starts[row] + torch.tensor(reading.indexes)] = True
    if all(len(r.indexes) == 1 for r in readings):
        return picked.int().argmax(dim=1), False, picked
    return None, all(r.average for r in readings), picked
