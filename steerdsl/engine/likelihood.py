"""How likely given texts are under a steer: log-probabilities token by token.

In: prompts with an answer as token ids, or plain texts, and touches. Out: for each text its tokens'
log-probabilities, and on request the whole next-token distributions. The text is read in one pass;
its tokens are edited as if they had been generated one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from steerdsl.engine.capture import inputs
from steerdsl.engine.tracing import Session
from steerdsl.engine.wire import Touch
from steerdsl.models.batching import Batch, batches, pad_id
from steerdsl.models.prompts import Rendered


@dataclass(frozen=True, slots=True)
class Reading:
    """One text: log p of each scored token, float64 [T]; and, when asked for, the logits that they
    come from, float32 [T, vocab]."""

    logprobs: Tensor
    logits: Tensor | None


def read_texts(
    session: Session,
    texts: Sequence[Rendered],
    starts: Sequence[int],
    touches: Sequence[Touch],
    batch_size: int,
    *,
    keep_logits: bool = False,
) -> Iterator[Reading]:
    """Yield a reading for each text, in order: of its tokens from `starts` (at least 1) to the end.

    Tokens before `starts` count as the prompt (pass 0), token starts + k as the k+1-th generated one.
    """
    # Given order, not by length: readings are handed over one after another, never all at once.
    for batch in batches(texts, batch_size, pad_id(session.opened.tokenizer), order="given"):
        first = [starts[i] for i in batch.index]
        targets = [torch.tensor(texts[i].ids[starts[i] :]) for i in batch.index]
        # Scored where the model is: whole distributions leave it only when they are asked for.
        scorer = _Scorer(_Tail(batch, first), targets, keep_logits)
        for logprobs, scored in session.logits(inputs(batch), touches, _steps(batch, first), scorer):
            yield Reading(logprobs, scored)


def read_next(
    session: Session,
    texts: Sequence[Rendered],
    starts: Sequence[int],
    touches: Sequence[Touch],
    batch_size: int,
) -> Iterator[Tensor]:
    """Yield for each text, in order, the logits of what follows: float32 [T + 1, vocab], the first row
    from the token before `starts` (at least 1), the last from the text's last token."""
    for batch in batches(texts, batch_size, pad_id(session.opened.tokenizer), order="given"):
        first = [starts[i] for i in batch.index]
        for scored in session.logits(inputs(batch), touches, _steps(batch, first), _Tail(batch, first, unread=0)):
            yield scored.float().cpu()


def _steps(batch: Batch, starts: Sequence[int]) -> Tensor:
    """The pass in which each token would be read: int64 [B, S]."""
    number = batch.mask.long().cumsum(-1) - 1
    return (number - torch.tensor(starts)[:, None] + 1).clamp(min=0)


class _Tail:
    """Keeps of each row the logits that predict its scored tokens; those of its last `unread` tokens
    predict what is not asked for."""

    def __init__(self, batch: Batch, starts: Sequence[int], unread: int = 1) -> None:
        width = batch.input_ids.shape[1]
        lengths = batch.mask.sum(-1).tolist()
        self.spans = [(width - n + s - 1, width - unread) for n, s in zip(lengths, starts, strict=True)]

    def __call__(self, logits: Tensor) -> list[Tensor]:
        return [row[a:b].clone() for row, (a, b) in zip(logits, self.spans, strict=True)]


class _Scorer:
    """Gives for each row log p of its `targets`, float64 [T], and the logits, float32 [T, vocab], or None."""

    def __init__(self, tail: _Tail, targets: Sequence[Tensor], keep_logits: bool) -> None:
        self.tail, self.targets, self.keep_logits = tail, list(targets), keep_logits

    def __call__(self, logits: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        scored = []
        for row, target in zip(self.tail(logits), self.targets, strict=True):
            row = row.float().cpu()
            logprobs = row.double().log_softmax(-1).gather(-1, target[:, None])[:, 0]
            scored.append((logprobs, row if self.keep_logits else None))
        return scored
