"""What happens between two tokens of a batch whose rows are of different requests.

In: the logits of each step, and the tokens that were chosen. Out: logits that leave a sampled row its drawn token, and
a row that is over nothing but its end; each token told to the row that it belongs to, and to no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from steerdsl.engine.meter import Meter
from steerdsl.engine.sampling import chooser, uniforms
from steerdsl.serving.questions import Likely, Question, Reply

if TYPE_CHECKING:
    from torch import Tensor


class RowControl(Meter):
    """For transformers both a logits processor (the call) and a streamer (`put`). `width` is the length of the
    padded prompts, `passes` the most tokens of a row, `ends` the tokens that end an answer."""

    def __init__(self, replies: Sequence[Reply], width: int, passes: int, ends: Sequence[int]) -> None:
        super().__init__()
        self.replies, self.ends = replies, list(ends)
        self.seen: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # row -> log-probabilities, the likeliest, which
        self.begun = False
        self.draw = _drawing([reply.question for reply in replies], width, passes)

    def __call__(self, input_ids: Any, scores: Tensor) -> Tensor:
        """The scores [B, vocabulary] from which the next token is taken."""
        self._look(scores)
        scores = self.draw(input_ids, self._nuclei(scores))
        over = [row for row, reply in enumerate(self.replies) if reply.done or reply.cancelled]
        if over and self.ends:
            scores = scores.clone()
            scores[over] = float("-inf")
            scores[over, self.ends[0]] = 0.0
        return scores

    def put(self, tokens: Tensor) -> None:
        """The prompts, then one token for each row."""
        if not self.begun:
            self.begun = True
            return
        for row, (reply, token) in enumerate(zip(self.replies, tokens.flatten().tolist(), strict=True)):
            if reply.done or reply.broken:
                continue
            if reply.cancelled:
                reply.end("cancelled")
            else:
                reply.add(int(token), self._likely(row, int(token)), self.ends)

    def _look(self, scores: Tensor) -> None:
        """Note which rows broke (`nan_guard.LogitWatch` has left them their end tokens alone), and the
        log-probabilities that were asked for."""
        alone = ((scores > float("-inf")).sum(-1) <= max(len(self.ends), 1)).tolist()
        for row, reply in enumerate(self.replies):
            reply.broken = reply.broken or (alone[row] and not reply.done)
            asked = reply.question.logprobs
            if asked is not None and not reply.done:
                every = scores[row].float().log_softmax(-1)
                self.seen[row] = (every, *every.topk(min(asked, len(every))))

    def _likely(self, row: int, token: int) -> Likely | None:
        if row not in self.seen:
            return None
        every, values, which = self.seen[row]
        top = tuple(zip(which.tolist(), values.tolist(), strict=True))
        return Likely(token, float(every[token]), top)

    def _nuclei(self, scores: Tensor) -> Tensor:
        for row, reply in enumerate(self.replies):
            asked = reply.question
            if asked.temperature > 0 and asked.top_p < 1:
                scores = scores.clone()
                scores[row] = nucleus(scores[row], asked.temperature, asked.top_p)
        return scores


def nucleus(scores: Tensor, temperature: float, top_p: float) -> Tensor:
    """Scores [vocabulary] without those outside the fewest likeliest tokens that have `top_p` of the probability."""
    ordered, places = (scores.double() / temperature).softmax(-1).sort(descending=True, stable=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    outside[0] = False
    return scores.masked_fill(torch.zeros_like(outside).scatter(-1, places, outside), float("-inf"))


def _drawing(questions: Sequence[Question], width: int, passes: int) -> Any:
    """What leaves a sampled row one token to choose."""
    heat = torch.tensor([question.temperature for question in questions], dtype=torch.float64)
    numbers = torch.zeros(len(questions), passes, dtype=torch.float64)
    for row, asked in enumerate(questions):
        if asked.temperature:
            drawn = uniforms(asked.seed, asked.prompt.ids, 0, asked.sample, passes)
            numbers[row] = torch.tensor(drawn, dtype=torch.float64)
    return chooser(heat, numbers, width)
