"""The model as a criterion for layers sees it: last-position logits under simple interventions.

In: rendered training prompts of both classes. Out: logits [n, vocab] (`methods.types.ModelProbe`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from steerdsl.engine.capture import inputs
from steerdsl.engine.program import ablation_touches, addition_touches
from steerdsl.engine.tracing import Session
from steerdsl.engine.wire import Touch
from steerdsl.lang.recipe import Stream
from steerdsl.models.batching import batches, pad_id
from steerdsl.models.cache import Progress
from steerdsl.models.prompts import Rendered


@dataclass(frozen=True, slots=True)
class Probe:
    """`stream` is where the vector was extracted, and where `add` adds it."""

    session: Session
    prompts: Mapping[str, Sequence[Rendered]]
    stream: Stream
    batch_size: int
    progress: Progress

    def logits(
        self,
        class_: Literal["positive", "negative"],
        ablate: Tensor | None = None,
        add: tuple[int, Tensor] | None = None,
    ) -> Tensor:
        """float32 [n, vocab], in the order of the prompts."""
        arch = self.session.opened.arch
        touches: list[Touch] = []
        if ablate is not None:
            touches = ablation_touches(arch, ablate.expand(arch.n_layers, *ablate.shape))
        elif add is not None:
            touches = addition_touches(arch, self.stream.name, *add)
        prompts = self.prompts[class_]
        rows: list[Tensor] = []
        order: list[int] = []
        for batch in batches(prompts, self.batch_size, pad_id(self.session.opened.tokenizer)):
            rows.append(self.session.logits(inputs(batch), touches, 0, _last).float().cpu())
            order += batch.index
        self.progress("trying layers", 0, 0)
        return torch.cat(rows)[torch.argsort(torch.tensor(order))]

    def first_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """The first token of each text as an answer begins with it."""
        tokenizer = self.session.opened.tokenizer
        return [tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in texts]


def _last(logits: Tensor) -> Tensor:
    return logits[:, -1]
