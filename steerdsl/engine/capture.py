"""Capture one class of prompts: from rendered prompts to the statistics of a stream at every layer.

In: rendered prompts, a position, a stream and layers. Out: `Activations`. One forward pass a batch
reads every layer, stops after the last, and keeps no activation that the method did not ask for.
Batches go to a server several at a time, and only their statistics come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from steerdsl.engine.finite import require_activations
from steerdsl.engine.moments import merge, result
from steerdsl.engine.tracing import Session
from steerdsl.engine.wire import Touch
from steerdsl.lang.recipe import Position, Stream
from steerdsl.methods.types import Activations
from steerdsl.models.batching import Batch, batches, pad_id
from steerdsl.models.cache import Progress, no_progress
from steerdsl.models.positions import Reading
from steerdsl.models.prompts import Rendered
from steerdsl.plan.rows import text_rows
from steerdsl.registry import find

PROMPTS = 64  # in one request to a server: statistics of 30 layers come back as 0.3 MB, however many it has

if TYPE_CHECKING:
    from torch import Tensor


def capture(
    session: Session,
    prompts: Sequence[Rendered],
    position: Position,
    stream: Stream,
    layers: Sequence[int],
    *,
    rows: bool = False,
    batch_size: int | None = None,
    touches: Sequence[Touch] = (),
    progress: Progress = no_progress,
) -> Activations:
    """Statistics of `stream` over `prompts` at `layers` (ascending), float64 [len(layers), width].

    A batch has at most `batch_size` prompts, or as many as are read at once. With `rows`, every sample's
    activation is kept too, in the order of the prompts. With `touches`, activations are read after those
    edits. Raises RecipeError M614 for a position a prompt lacks, NotFinite R811 for activations that are
    nan or infinite.
    """
    import torch

    arch = session.opened.arch
    sites = [arch.read(stream.name, layer) for layer in layers]
    reads = [(site.module, site.side) for site in sites]
    part = arch.head_slice(stream.numbers[1]) if stream.name == "head" else slice(None)
    entry = find("position", position.name)
    readings = [entry.run(p, position.number) for p in prompts]
    moments: dict[str, Any] = {}
    done, order = 0, list[int]()
    progress("reading activations", 0, len(prompts))
    size = batch_size or text_rows(max(len(p.ids) for p in prompts))
    for group in _groups(batches(prompts, size, pad_id(session.opened.tokenizer)), session.on):
        jobs = [_job(batch, [readings[i] for i in batch.index]) for batch in group]
        merge(moments, session.summarise(jobs, reads, part, rows, touches))
        for batch, job in zip(group, jobs, strict=True):
            one_each = job["columns"] is not None or job["average"]
            order += [i for i in batch.index for _ in range(1 if one_each else len(readings[i].indexes))]
            done += len(batch.index)
        progress("reading activations", done, len(prompts))
    found = result(moments, torch.tensor(order))
    norms = torch.cat(moments["norms"], dim=1)
    require_activations(found, norms, f"{stream.name}, {position.name}", layers, session)
    return found


def _groups(found: Iterable[Batch], on: str) -> Iterator[list[Batch]]:
    """The batches of one request: each alone on this machine, where a request costs nothing."""
    group: list[Batch] = []
    for batch in found:
        if group and (on == "local" or sum(len(b.index) for b in group) + len(batch.index) > PROMPTS):
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def _job(batch: Batch, readings: Sequence[Reading]) -> dict[str, Any]:
    """A batch as `Session.summarise` takes it."""
    columns, average, picked = _where(batch, readings)
    return {"inputs": inputs(batch), "columns": columns, "average": average, "picked": picked}


def inputs(batch: Batch) -> dict[str, Tensor]:
    """A batch as the model's keyword arguments. Positions count real tokens (GPT-2 needs it)."""
    return {
        "input_ids": batch.input_ids,
        "attention_mask": batch.mask.long(),
    }


def _where(batch: Batch, readings: Sequence[Reading]) -> tuple[Tensor | None, bool, Tensor]:
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
