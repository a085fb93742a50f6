"""Run a model's forward passes through nnsight: the only module that knows it.

In: an opened model, batches of token ids, and the touches or reads of `wire`. Out: captured rows,
generated token ids, logits. One static block for each kind of pass loops over plain data; the
program is never text to execute, so the same block runs on this machine, in a rehearsal of the
remote path (`simulate`) and on a server.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cloudpickle
import nnsight
import torch
from nnsight.modeling.transformers import TransformersModel

import steerdsl
from steerdsl.engine.wire import Touch, gather, place, read, visit, walk

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.opened import Opened


# Functions of this package travel by value, however it was installed: a server does not have it.
cloudpickle.register_pickle_by_value(steerdsl)


@contextmanager
def _quiet() -> Iterator[None]:
    # A row that ends early leaves the loop over passes waiting for one that never comes; nnsight
    # warns for each. That end is the normal one here.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", message=".*was never reached.*")
        yield


def _padding(mask: Tensor) -> Tensor | None:
    """The mask of real tokens, or None when there is no padding and so nothing to protect."""
    return None if bool(mask.all()) else mask


class Session:
    """A model ready for tracing. `on` is "local" or "simulate" (nnsight's rehearsal of the remote
    path: the request is serialised and run from its bytes)."""

    def __init__(self, opened: Opened, on: str = "local") -> None:
        self.opened = opened
        self.model = TransformersModel(opened.model, tokenizer=opened.tokenizer)
        self._where: dict[str, Any] = {"remote": "local"} if on == "simulate" else {}

    def capture(
        self,
        inputs: Mapping[str, Tensor],
        reads: Sequence[tuple[str, str]],
        columns: Tensor | None,
        average: bool,
        picked: Tensor,
        touches: Sequence[Touch] = (),
    ) -> Tensor:
        """Read `reads` (path, side), in the order in which they run: float64 [R, B, d] of the token at
        `columns` or of the average of the mask `picked`; else [R, T, d], every token of that mask a row.

        The pass stops after the last of them; with `touches`, which may lie behind it, it runs to its
        end, and activations are read after the edits.
        """
        batch, mask = dict(inputs), inputs["attention_mask"].bool()
        padded, rows = _padding(mask), len(mask)
        with _quiet(), self.model.trace(**self._where) as tracer:
            with tracer.invoke(batch):
                if touches:
                    visit(place(self.model, touches), rows, 0, padded, {})
            with tracer.invoke():
                kept = nnsight.save([])
                for path, side in reads:
                    value, _ = read(walk(self.model, path), side, rows)
                    kept.append(gather(value, columns, average, picked))
                if not touches:
                    tracer.stop()
        return torch.stack(list(kept))

    def generate(self, inputs: Mapping[str, Tensor], touches: Sequence[Touch], passes: int, config: Any) -> Tensor:
        """Generate up to `passes` tokens for each row: int64 [B, S + generated], prompt included."""
        batch, mask = dict(inputs), inputs["attention_mask"].bool()
        padded, rows = _padding(mask), len(mask)
        with _quiet(), self.model.generate(generation_config=config, **self._where) as tracer:
            with tracer.invoke(batch):
                ids = tracer.result.save()
            if touches:
                with tracer.invoke():
                    memory: dict[str, Any] = {}
                    placed = place(self.model, touches)
                    for step in tracer.iter[:passes]:
                        visit(placed, rows, step, padded, memory)
        tokens: Tensor = ids
        return tokens

    def logits(
        self,
        inputs: Mapping[str, Tensor],
        touches: Sequence[Touch],
        steps: Any,
        reduce: Callable[[Tensor], Any],
    ) -> Any:
        """Read whole texts in one pass with the edits in place, each token in the step that it would
        have when generated (`steps`, see `wire.Step`); `reduce` [B, S, vocab] -> what is kept."""
        kept, memory = self._logits(inputs, touches, steps, reduce, {})
        if "late" in memory:
            kept, _ = self._logits(inputs, touches, steps, reduce, {"before": dict(memory)})
        return kept

    def _logits(
        self,
        inputs: Mapping[str, Tensor],
        touches: Sequence[Touch],
        steps: Any,
        reduce: Callable[[Tensor], Any],
        known: dict[str, Any],
    ) -> tuple[Any, dict[str, Any]]:
        """One reading, and what its conditions decided; `known` is from the reading before."""
        batch, mask = dict(inputs), inputs["attention_mask"].bool()
        padded, rows = _padding(mask), len(mask)
        with _quiet(), self.model.trace(**self._where) as tracer:
            memory = nnsight.save(known)
            with tracer.invoke(batch):
                kept = nnsight.save(reduce(self.model.output.logits))
            if touches:
                with tracer.invoke():
                    visit(place(self.model, touches), rows, steps, padded, memory)
        return kept, memory
