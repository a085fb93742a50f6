"""The model as a criterion for layers sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nnsight
import torch
from torch import Tensor

from steerdsl.eject.parts.settings import ARCH, BATCH_SIZE, PAD_ID
from steerdsl.engine.capture import inputs
from steerdsl.engine.edits import Touch, place, visit
from steerdsl.engine.probe import _last
from steerdsl.engine.steer_compiler import ablation_touches, addition_touches
from steerdsl.engine.tracing.session import _padding
from steerdsl.methods.types import Trial
from steerdsl.models.batching import Batch, batches
from steerdsl.models.prompts import Rendered
from steerdsl.planning.batch_size import text_rows


@dataclass
class Probe:
    """Training prompts of both classes, and the stream that a vector was read at."""

    model: Any
    tokenizer: Any
    prompts: Mapping[str, Sequence[Rendered]]
    stream: str

    def figures(self, class_: str, trials: Sequence[Trial], figure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """A figure of each trial and each prompt of a class, in the order of the prompts: float64 [trials, n]."""
        prompts = self.prompts[class_]
        size = BATCH_SIZE  # if: not fitted
        size = text_rows(max(len(prompt.ids) for prompt in prompts))  # if: fitted
        found = batches(prompts, size, PAD_ID)
        order = torch.tensor([i for batch in found for i in batch.index])
        plain = [self.logits(batch, []) for batch in found]
        rows = []
        for trial in trials:
            touches = self.touches(trial)
            tried = [self.logits(batch, touches) for batch in found]
            rows.append(torch.cat([figure(a, b) for a, b in zip(plain, tried, strict=True)]))
        return torch.stack(rows)[:, order.argsort()]

    def logits(self, batch: Batch, touches: Sequence[Touch]) -> Tensor:
        """The logits of the next token, with edits in place: [B, vocabulary]."""
        with torch.no_grad(), self.model.trace() as tracer:
            with tracer.invoke(inputs(batch)):
                found = nnsight.save(_last(self.model.output.logits))
            if touches:
                with tracer.invoke():
                    visit(place(self.model, touches), len(batch.mask), 0, _padding(batch.mask), {})
        logits: Tensor = found
        return logits

    def touches(self, trial: Trial) -> Sequence[Touch]:
        """The edits of a trial."""
        if trial.ablate is not None:
            return ablation_touches(ARCH, trial.ablate.expand(ARCH.n_layers, *trial.ablate.shape))
        assert trial.add is not None
        return addition_touches(ARCH, self.stream, *trial.add)

    def first_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """The id of the first token of each text, as the beginning of an answer."""
        return [self.tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in texts]
