"""Reading activations: one forward pass for each batch, statistics as they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import nnsight
import torch

from steerdsl.eject.parts.settings import ARCH, BATCH_SIZE, PAD_ID
from steerdsl.engine.capture import _most, _where, inputs
from steerdsl.engine.edits import Touch, place, visit
from steerdsl.engine.moments import result, take
from steerdsl.engine.tracing.session import _padding, collect
from steerdsl.methods.finite import require_tensors
from steerdsl.methods.types import Activations
from steerdsl.models.batching import batches
from steerdsl.models.positions import TokenSpan
from steerdsl.models.prompts import Rendered
from steerdsl.planning.batch_size import text_rows


def capture(
    model: Any,
    prompts: Sequence[Rendered],
    position: Callable[[Rendered], TokenSpan],
    stream: str,
    layers: Sequence[int],
    part: slice = slice(None),  # if: heads
    rows: bool = False,  # if: rows
    touches: Sequence[Touch] = (),  # if: recaptured
) -> Activations:
    """Statistics of one stream over one class of prompts, every layer in one pass.

    part: the features that are read, where these are one head's.  # if: heads
    rows: keep every sample's activation too.  # if: rows
    touches: edits that are made before activations are read.  # if: recaptured
    """
    readings = [position(prompt) for prompt in prompts]
    reads = [ARCH.read(stream, layer).tap for layer in layers]
    statistics: dict[str, Any] = {}
    order: list[int] = []
    size = BATCH_SIZE  # if: not fitted
    size = text_rows(max(len(prompt.ids) for prompt in prompts))  # if: fitted
    for batch in batches(prompts, size, PAD_ID):
        columns, average, picked = _where(batch, [readings[i] for i in batch.index])
        count = len(picked)
        with torch.no_grad(), model.trace() as tracer:
            with tracer.invoke(inputs(batch)):
                pass  # if: not recaptured
                if touches:  # if: recaptured
                    visit(place(model, touches), count, 0, _padding(batch.mask), {})  # if: recaptured
            # An invoke without a prompt sees the whole batch of the one above.
            with tracer.invoke():
                # What is made inside a trace is lost unless nnsight is told to save it.
                kept = nnsight.save(collect(model, reads, columns, average, picked, count))
                tracer.stop()  # nothing after the last layer is needed  # if: not recaptured
                if not touches:  # if: recaptured
                    tracer.stop()  # if: recaptured
        found = torch.stack(list(kept))
        found = found[..., part]  # if: heads
        take(statistics, found, False)  # if: not rows
        take(statistics, found, rows)  # if: rows
        order += [i for i in batch.index for _ in range(_most(readings[i]))]
    made = result(statistics, torch.tensor(order))
    require_tensors(f"the statistics of {stream}", {"a mean activation": made.mean})
    return made
