"""How likely given texts are under a steer: log-probabilities token by token.

In: prompts with an answer as token ids, or plain texts, and touches. Out: for each text its tokens'
log-probabilities, or how far a steer moves its next-token distributions, which stay where the model is.
A text is read in one pass; its tokens are edited as if they had been generated one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from steerdsl.engine.capture import inputs
from steerdsl.engine.tracing import Session
from steerdsl.engine.wire import Touch
from steerdsl.methods.divergence import kl
from steerdsl.models.batching import Batch, batches, pad_id
from steerdsl.models.prompts import Rendered


def read_texts(
    session: Session, texts: Sequence[Rendered], starts: Sequence[int], touches: Sequence[Touch], batch_size: int
) -> Iterator[Tensor]:
    """Yield for each text, in order, log p of its tokens from `starts` (at least 1) to the end: float64 [T].

    Tokens before `starts` count as the prompt (pass 0), token starts + k as the k+1-th generated one.
    """
    for batch, first in _given(session, texts, starts, batch_size):
        targets = [torch.tensor(texts[i].ids[starts[i] :]) for i in batch.index]
        # Scored where the model is: whole distributions do not leave it.
        scorer = _Scorer(_Tail(batch, first), targets)
        yield from session.logits(inputs(batch), touches, _steps(batch, first), scorer)


def read_shifts(
    session: Session,
    plain: tuple[Sequence[Rendered], Sequence[int]],
    edited: tuple[Sequence[Rendered], Sequence[int]],
    touches: Sequence[Touch],
    batch_size: int,
) -> Iterator[Tensor]:
    """Yield for each text, in order, KL(plain ‖ edited) in nats at each of its tokens from the start to the
    end: float64 [T]. Both sides are texts and starts, as `read_texts` takes them; a text and its
    counterpart end in the same tokens from their starts on, and `touches` act in the edited one.
    """
    # Both are read in one request, and compared where the model is.
    sides = [_given(session, *side, batch_size) for side in (plain, edited)]
    for pair in zip(*sides, strict=True):
        readings = [
            {"inputs": inputs(batch), "touches": edits, "steps": _steps(batch, first), "keep": _Tail(batch, first)}
            for (batch, first), edits in zip(pair, ((), touches), strict=True)
        ]
        yield from session.readings(readings, _shifts)


def read_endings(
    session: Session,
    texts: Sequence[Rendered],
    starts: Sequence[int],
    endings: Sequence[Tensor],
    touches: Sequence[Touch],
    batch_size: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each text, in order, log p of each of its `endings`, summed over tokens, float64 [k], and
    whether greedy decoding would give it, bool [k]. Endings, int64 [k, T + 1], are what the text has from its
    start on, and one more token each. The rest is as in `read_texts`."""
    for batch, first in _given(session, texts, starts, batch_size):
        reader = _Endings(_Tail(batch, first, unread=0), [endings[i] for i in batch.index])
        yield from session.logits(inputs(batch), touches, _steps(batch, first), reader)


def _given(
    session: Session, texts: Sequence[Rendered], starts: Sequence[int], batch_size: int
) -> Iterator[tuple[Batch, list[int]]]:
    """The batches of texts, in the order given and not by length: what is read is handed over text after
    text, never all at once. Beside each the starts of its texts."""
    for batch in batches(texts, batch_size, pad_id(session.opened.tokenizer), order="given"):
        yield batch, [starts[i] for i in batch.index]


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
    """Gives for each row log p of its `targets`, float64 [T]."""

    def __init__(self, tail: _Tail, targets: Sequence[Tensor]) -> None:
        self.tail, self.targets = tail, list(targets)

    def __call__(self, logits: Tensor) -> list[Tensor]:
        return [
            row.cpu().double().log_softmax(-1).gather(-1, target[:, None])[:, 0]
            for row, target in zip(self.tail(logits), self.targets, strict=True)
        ]


class _Endings:
    """Gives for each row log p of each of its endings, float64 [k], and whether greedy decoding gives it, [k]."""

    def __init__(self, tail: _Tail, endings: Sequence[Tensor]) -> None:
        self.tail, self.endings = tail, list(endings)

    def __call__(self, logits: Tensor) -> list[tuple[Tensor, Tensor]]:
        found = []
        for row, endings in zip(self.tail(logits), self.endings, strict=True):
            row = row.float().cpu()
            logprobs = row.double().log_softmax(-1).gather(-1, endings.T)
            found.append((logprobs.sum(0), (row.argmax(-1) == endings).all(-1)))
        return found


def _shifts(plain: Sequence[Tensor], edited: Sequence[Tensor]) -> list[Tensor]:
    """KL(plain ‖ edited) of each text, float64 [T]; on the processor, since Apple's GPU has no float64."""
    return [kl(p.cpu(), q.cpu()) for p, q in zip(plain, edited, strict=True)]
