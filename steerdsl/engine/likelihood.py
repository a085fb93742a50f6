"""How likely given texts are under steers: log-probabilities token by token.

In: `Reading`s, each a text as token ids, where its scored part starts, and what acts. Out: for each its tokens'
log-probabilities, or how far a steer moves its next-token distributions, which stay where the model is.
A text is read in one pass; its tokens are edited as if they had been generated one by one. Texts of several
steers share batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from steerdsl.engine.batch_edits import Acting, compile_rows
from steerdsl.engine.capture import inputs
from steerdsl.engine.tracing import Session
from steerdsl.methods.divergence import kl
from steerdsl.models.batching import Batch, joined, pad_id

Ids: TypeAlias = tuple[int, ...]
Rows: TypeAlias = Callable[[int], int]  # how many texts of so many tokens are read at once
# Gives the figures of one batch: kept ones, or what is made. Told what is read, and the texts as plain data.
Keep: TypeAlias = Callable[[str, Any, Callable[[], Sequence[Tensor]]], Sequence[Tensor]]


def unkept(kind: str, texts: Any, make: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
    """A `Keep` that keeps nothing."""
    return make()


@dataclass(frozen=True, slots=True)
class Reading:
    """A text that is read with `steer` acting. Tokens before `start` (at least 1) count as the prompt (pass 0),
    token start + k as the k+1-th generated one."""

    ids: Ids
    start: int
    steer: Acting | None = None

    @property
    def plain(self) -> list[Any]:
        """All that its figures depend on besides the model and the batch."""
        return [list(self.ids), self.start, self.steer and self.steer.key]


def read_texts(session: Session, texts: Sequence[Reading], rows: Rows, keep: Keep = unkept) -> list[Tensor]:
    """For each text, in order, log p of its tokens from the start to the end: float64 [T]."""
    found = [torch.empty(0)] * len(texts)
    for index in _cut(texts, [len(text.ids) for text in texts], rows):
        own = [texts[i] for i in index]
        # Scored where the model is: whole distributions do not leave it.
        scorer = _Scorer(_tail(own), [torch.tensor(text.ids[text.start :]) for text in own])
        made = keep("texts", [text.plain for text in own], partial(_logits, session, own, scorer))
        for i, logprobs in zip(index, made, strict=True):
            found[i] = logprobs
    return found


def read_shifts(
    session: Session, pairs: Sequence[tuple[Reading, Reading]], rows: Rows, keep: Keep = unkept
) -> list[Tensor]:
    """For each pair, in order, KL(first ‖ second) in nats at each token from the start to the end: float64 [T].

    Both texts of a pair end in the same tokens from their starts on. Pairs with one first text read it once
    in a batch, and a pair of two equal readings is not read at all.
    """
    found = [torch.zeros(len(plain.ids) - plain.start, dtype=torch.float64) for plain, _ in pairs]
    apart = [i for i, (plain, edited) in enumerate(pairs) if plain != edited]
    # Pairs with the same first text are together.
    apart.sort(key=lambda i: (-len(pairs[i][0].ids), pairs[i][0].ids, pairs[i][0].start))
    widths = [max(len(text.ids) for text in pairs[i]) for i in apart]
    for index in _cut([pairs[i][1] for i in apart], widths, rows, sort=False):
        own = [pairs[apart[i]] for i in index]
        made = keep("shifts", [[first.plain, second.plain] for first, second in own], partial(_shifts, session, own))
        for i, nats in zip(index, made, strict=True):
            found[apart[i]] = nats
    return found


def _shifts(session: Session, pairs: Sequence[tuple[Reading, Reading]]) -> Any:
    """The figures of one batch of pairs. Both are read in one request, and compared where the model is."""
    plain = list(dict.fromkeys(first for first, _ in pairs))
    readings = [_reading(session, texts) for texts in (plain, [second for _, second in pairs])]
    return session.readings(readings, _Shifts([plain.index(first) for first, _ in pairs]))


def read_endings(
    session: Session, texts: Sequence[Reading], endings: Sequence[Tensor], rows: Rows, keep: Keep = unkept
) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """Yield for each text its place, and log p of each of its `endings`, summed over tokens, float64 [k], and
    whether greedy decoding would give it, bool [k]. Endings, int64 [k, T + 1], are what the text has from its
    start on, and one more token each."""
    for index in _cut(texts, [len(text.ids) for text in texts], rows):
        own = [texts[i] for i in index]
        reader = _Endings(_tail(own, unread=0), [endings[i] for i in index])
        what = [[texts[i].plain, endings[i].tolist()] for i in index]
        for i, (totals, greedy) in zip(
            index, keep("endings", what, partial(_logits, session, own, reader)), strict=True
        ):
            yield i, (totals, greedy.bool())


def read_tops(session: Session, texts: Sequence[Reading], most: int, rows: Rows) -> list[list[tuple[int, float]]]:
    """For each text, in order, the `most` likeliest tokens behind it, the likeliest first, with their log p."""
    found: list[list[tuple[int, float]]] = [[] for _ in texts]
    for index in _cut(texts, [len(text.ids) for text in texts], rows):
        made = _logits(session, [texts[i] for i in index], _Tops(most))
        for i, (tokens, logprobs) in zip(index, made, strict=True):
            found[i] = list(zip(map(int, tokens.tolist()), logprobs.tolist(), strict=True))
    return found


def _cut(texts: Sequence[Reading], widths: Sequence[int], rows: Rows, sort: bool = True) -> Iterator[list[int]]:
    """The places of the texts of each batch, those of one shape of steers together: the longest texts first,
    or with `sort` off in the order given."""
    order = sorted(range(len(texts)), key=lambda i: -widths[i]) if sort else list(range(len(texts)))
    shapes = {shape: number for number, shape in enumerate(dict.fromkeys(map(_shape, texts)))}
    while order:
        size = max(1, rows(widths[order[0]]))
        yield sorted(order[:size], key=lambda i: shapes[_shape(texts[i])])
        order = order[size:]


def _shape(text: Reading) -> str:
    return "" if text.steer is None else text.steer.shape


def _logits(session: Session, texts: Sequence[Reading], reduce: Callable[[Tensor], Any]) -> Any:
    """What `reduce` makes of the logits of one batch of texts."""
    one = _reading(session, texts)
    return session.logits(one["inputs"], one["touches"], one["steps"], reduce)


def _reading(session: Session, texts: Sequence[Reading]) -> dict[str, Any]:
    """One batch of texts as `Session.readings` takes it."""
    batch = joined([text.ids for text in texts], pad_id(session.opened.tokenizer))
    touches = compile_rows([text.steer for text in texts], session.opened.arch)
    steps = _steps(batch, [text.start for text in texts])
    return {"inputs": inputs(batch), "touches": touches, "steps": steps, "keep": _tail(texts)}


def _tail(texts: Sequence[Reading], unread: int = 1) -> _Tail:
    return _Tail([len(text.ids) for text in texts], [text.start for text in texts], unread)


def _steps(batch: Batch, starts: Sequence[int]) -> Tensor:
    """The pass in which each token would be read: int64 [B, S]."""
    number = batch.mask.long().cumsum(-1) - 1
    return (number - torch.tensor(starts)[:, None] + 1).clamp(min=0)


class _Tail:
    """Keeps of each row the logits that predict its scored tokens; those of its last `unread` tokens
    predict what is not asked for."""

    def __init__(self, lengths: Sequence[int], starts: Sequence[int], unread: int = 1) -> None:
        width = max(lengths)
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
    """Gives for each row log p of each of its endings, and 1 where greedy decoding gives it: float64 [2, k]."""

    def __init__(self, tail: _Tail, endings: Sequence[Tensor]) -> None:
        self.tail, self.endings = tail, list(endings)

    def __call__(self, logits: Tensor) -> list[Tensor]:
        found = []
        for row, endings in zip(self.tail(logits), self.endings, strict=True):
            row = row.float().cpu()
            logprobs = row.double().log_softmax(-1).gather(-1, endings.T)
            found.append(torch.stack([logprobs.sum(0), (row.argmax(-1) == endings).all(-1).double()]))
        return found


class _Tops:
    """Gives the likeliest tokens behind each row and their log p: float64 [2, most]."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, logits: Tensor) -> list[Tensor]:
        last = logits[:, -1].float().cpu().double().log_softmax(-1)
        values, tokens = last.topk(min(self.most, last.shape[-1]))
        return list(torch.stack([tokens.double(), values], 1))


class _Shifts:
    """Gives KL(first ‖ second) of each pair, float64 [T]; `firsts` are the places of the first texts."""

    def __init__(self, firsts: Sequence[int]) -> None:
        self.firsts = list(firsts)

    def __call__(self, plain: Sequence[Tensor], edited: Sequence[Tensor]) -> list[Tensor]:
        # On the processor, since Apple's GPU has no float64.
        return [kl(plain[i].cpu(), q.cpu()) for i, q in zip(self.firsts, edited, strict=True)]
