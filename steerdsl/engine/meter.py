"""How many tokens of some answers there are, reported while they are generated.

In: the rows of each batch as they begin, and each of their tokens. Out: calls of a `Progress` that count
tokens: those made, of those that there may yet be (an answer that ends early needs no more).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.models.cache import Progress, no_progress

if TYPE_CHECKING:
    from torch import Tensor


class Meter:
    """Counts the tokens of `answers` answers of at most `limit` tokens. It is a streamer as transformers'
    generation takes one: `put` is given the prompts, then the tokens of each step, `pad` where a row has
    ended."""

    def __init__(self, progress: Progress = no_progress, text: str = "", answers: int = 0, limit: int = 0) -> None:
        self.progress, self.text, self.limit = progress, text, limit
        self.waiting, self.made = answers, 0
        self.step, self.pad = -1, -1
        if answers:
            self._tell(0)

    def begin(self, rows: int, pad: int) -> None:
        """A batch begins."""
        self.waiting, self.step, self.pad = max(self.waiting - rows, 0), -1, pad

    def known(self, rows: int) -> None:
        """A batch was made before."""
        self.waiting = max(self.waiting - rows, 0)
        self._tell(0)

    def put(self, tokens: Tensor) -> None:
        """The prompts of a batch, then one token for each row."""
        self.step += 1
        if self.step:
            live = int((tokens != self.pad).sum())
            self.made += live
            self._tell(live * max(self.limit - self.step, 0))

    def end(self) -> None:
        """A batch has ended."""
        self._tell(0)

    def _tell(self, rest: int) -> None:
        self.progress(self.text, self.made, self.made + rest + self.waiting * self.limit, "tokens")
