"""What happens between two tokens of a batch whose rows are of different requests.

In: the logits of each step. Out: the next token of each row, that of a row that is over being its end; each token told
to the row that it belongs to, and to no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from steerdsl.engine.sampling import drawer, uniforms
from steerdsl.serving.questions import Likely, Question, Reply

if TYPE_CHECKING:
    from torch import Tensor


class RowControl:
    """Chooses the tokens of a batch, as `sampling.drawer` does for the engine's own, and tells them. `passes` is the
    most tokens of a row, `ends` the tokens that end an answer."""

    def __init__(self, replies: Sequence[Reply], passes: int, ends: Sequence[int]) -> None:
        self.replies, self.ends = replies, list(ends)
        self.draw = _drawing([reply.question for reply in replies], passes)

    def __call__(self, scores: Tensor, step: int, rows: Sequence[int] | None = None) -> tuple[list[int], Tensor]:
        """The places of the rows that have a token here, which are all, and their tokens, int64 [b]. `scores` are
        [b, vocabulary]; `rows` are the places of these rows in the batch (None: all of it)."""
        replies = list(self.replies) if rows is None else [self.replies[row] for row in rows]
        seen = self._look(replies, scores)
        scores = _nuclei(replies, scores)
        tokens, (at, drawn) = scores.argmax(-1), self.draw(scores, step, rows)
        if at:
            tokens[at] = drawn.to(tokens.device)
        over = [place for place, reply in enumerate(replies) if reply.done or reply.cancelled]
        if over and self.ends:
            tokens[over] = self.ends[0]
        for place, (reply, token) in enumerate(zip(replies, tokens.tolist(), strict=True)):
            if reply.cancelled and not reply.done:
                reply.end("cancelled")
            elif not reply.done and not reply.broken:
                reply.add(token, _likely(seen.get(place), token), self.ends)
        return list(range(len(replies))), tokens

    def _look(self, replies: Sequence[Reply], scores: Tensor) -> dict[int, Seen]:
        """Note which rows broke (`nan_guard.LogitWatch` has left them their end tokens alone), and the
        log-probabilities that were asked for, by place."""
        alone = ((scores > float("-inf")).sum(-1) <= max(len(self.ends), 1)).tolist()
        seen = {}
        for place, reply in enumerate(replies):
            reply.broken = reply.broken or (alone[place] and not reply.done)
            asked = reply.question.logprobs
            if asked is not None and not reply.done:
                every = scores[place].float().log_softmax(-1)
                seen[place] = (every, *every.topk(min(asked, len(every))))
        return seen


# The log-probabilities [vocabulary] at a token, the largest of them, and which tokens these are.
Seen = tuple["Tensor", "Tensor", "Tensor"]


def _likely(seen: Seen | None, token: int) -> Likely | None:
    if seen is None:
        return None
    every, values, which = seen
    return Likely(token, float(every[token]), tuple(zip(which.tolist(), values.tolist(), strict=True)))


def _nuclei(replies: Sequence[Reply], scores: Tensor) -> Tensor:
    for place, reply in enumerate(replies):
        asked = reply.question
        if asked.temperature > 0 and asked.top_p < 1:
            scores = scores.clone()
            scores[place] = nucleus(scores[place], asked.temperature, asked.top_p)
    return scores


def nucleus(scores: Tensor, temperature: float, top_p: float) -> Tensor:
    """Scores [vocabulary] without those outside the fewest likeliest tokens that have `top_p` of the probability."""
    ordered, places = (scores.double() / temperature).softmax(-1).sort(descending=True, stable=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    outside[0] = False
    return scores.masked_fill(torch.zeros_like(outside).scatter(-1, places, outside), float("-inf"))


def _drawing(questions: Sequence[Question], passes: int) -> Any:
    """What draws the tokens of sampled rows."""
    heat = torch.tensor([question.temperature for question in questions], dtype=torch.float64)
    numbers = torch.zeros(len(questions), passes, dtype=torch.float64)
    for row, asked in enumerate(questions):
        if asked.temperature:
            drawn = uniforms(asked.seed, asked.prompt.ids, 0, asked.sample, passes)
            numbers[row] = torch.tensor(drawn, dtype=torch.float64)
    return drawer(heat, numbers)
