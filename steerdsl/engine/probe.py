"""The model as a criterion for layers sees it: figures of the next token under simple interventions.

In: rendered training prompts of both classes. Out: figures [trials, n] (`methods.types.ModelProbe`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from steerdsl.engine.capture import inputs
from steerdsl.engine.edits import Touch
from steerdsl.engine.steer_compiler import ablation_touches, addition_touches
from steerdsl.engine.tracing import Session
from steerdsl.lang.recipe import Stream
from steerdsl.methods.types import Trial
from steerdsl.models.batching import batches, pad_id
from steerdsl.models.cache import Progress
from steerdsl.models.prompts import Rendered
from steerdsl.planning.batch_size import text_rows

# Trials of one request; the model as it is is read once for all of them.
TRIALS = 8


@dataclass(frozen=True, slots=True)
class Probe:
    """`stream` is where the vector was extracted, and where trials add it. A batch has at most `batch_size`
    prompts, or as many as are read at once."""

    session: Session
    prompts: Mapping[str, Sequence[Rendered]]
    stream: Stream
    batch_size: int | None
    progress: Progress

    def figures(
        self,
        class_: Literal["positive", "negative"],
        trials: Sequence[Trial],
        figure: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """float64 [trials, n], in the order of the prompts."""
        prompts = self.prompts[class_]
        size = self.batch_size or text_rows(max(len(p.ids) for p in prompts))
        found = batches(prompts, size, pad_id(self.session.opened.tokenizer))
        order = torch.tensor([i for batch in found for i in batch.index])
        rows = [torch.empty(0, len(order), dtype=torch.float64)]
        self.progress("trying layers", 0, len(trials))
        for start in range(0, len(trials), TRIALS):
            tried = [(), *(self._touches(trial) for trial in trials[start : start + TRIALS])]
            parts = [self.session.readings(_readings(inputs(batch), tried), _Figures(figure)) for batch in found]
            rows.append(torch.cat(parts, -1))
            self.progress("trying layers", min(start + TRIALS, len(trials)), len(trials))
        return torch.cat(rows)[:, order.argsort()]

    def _touches(self, trial: Trial) -> Sequence[Touch]:
        arch = self.session.opened.arch
        if trial.ablate is not None:
            return ablation_touches(arch, trial.ablate.expand(arch.n_layers, *trial.ablate.shape))
        assert trial.add is not None
        return addition_touches(arch, self.stream.name, *trial.add)

    def first_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """The first token of each text as an answer begins with it."""
        tokenizer = self.session.opened.tokenizer
        return [tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in texts]


def _readings(given: dict[str, Tensor], tried: Sequence[Sequence[Touch]]) -> list[dict[str, Any]]:
    return [{"inputs": given, "touches": touches, "steps": 0, "keep": _last} for touches in tried]


def _last(logits: Tensor) -> Tensor:
    return logits[:, -1].float().cpu()


class _Figures:
    """Gives `figure` of the first reading and each other one: float64 [others, B]."""

    def __init__(self, figure: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.figure = figure

    def __call__(self, plain: Tensor, *tried: Tensor) -> Tensor:
        return torch.stack([self.figure(plain, one) for one in tried])
