"""What is asked of a model outside of a run, and what comes back, token by token.

In: a rendered prompt, a steer, how to sample and where to stop. Out: `Delta`s of text as they are made, then how the
answer ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from steerdsl.engine.batch_edits import Acting
from steerdsl.models.prompts import Rendered

Ending = Literal["stop", "length", "cancelled"]
UNFINISHED = "\ufffd"  # what a tokenizer writes for bytes that are not a whole character yet


@dataclass(frozen=True, slots=True)
class Question:
    """One answer that is asked for: the answer number `sample` to a prompt. Temperature 0 takes the likeliest token;
    `top_p` is the share of probability that is drawn from. `stops` are texts before which the answer ends. `logprobs`
    is how many tokens are told beside each one, with their log-probabilities; None for no log-probabilities."""

    prompt: Rendered
    steer: Acting | None
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    sample: int = 0
    stops: tuple[str, ...] = ()
    logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Likely:
    """A token with its log-probability, and the likeliest tokens at its place with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """What is new of an answer: text, and the log-probabilities of its tokens where they were asked for. `ending` says
    that it is the last piece, and why; `error` that there is no answer."""

    text: str = ""
    likely: tuple[Likely, ...] = ()
    ending: Ending | None = None
    error: Exception | None = None


Hear = Callable[[Delta], None]


@dataclass(slots=True, eq=False)
class Reply:
    """One answer in the making: its tokens so far, and who hears of it. `cancelled` is set by anyone, at any time."""

    question: Question
    hear: Hear
    decode: Callable[[Sequence[int]], str]
    tokens: list[int] = field(default_factory=list)
    cancelled: bool = False
    done: bool = False
    broken: bool = False
    told: str = ""
    _likely: list[Likely] = field(default_factory=list)

    def cancel(self) -> None:
        """Nobody waits for this answer any more."""
        self.cancelled = True

    def add(self, token: int, likely: Likely | None, ends: Sequence[int]) -> None:
        """One more token; an end token ends the answer."""
        if token in ends:
            self.end("stop")
            return
        self.tokens.append(token)
        if likely is not None:
            self._likely.append(likely)
        text = self.decode(self.tokens)
        if (cut := _first(text, self.question.stops)) is not None:
            self._finish(text[:cut], "stop")
        elif len(self.tokens) >= self.question.max_tokens:
            self._finish(text, "length")
        else:
            self._tell(_settled(text, self.question.stops))

    def end(self, ending: Ending) -> None:
        """The answer ends here."""
        self._finish(self.decode(self.tokens), ending)

    def fail(self, error: Exception) -> None:
        """There is no answer."""
        self.done = True
        self._say(Delta(error=error))

    def _tell(self, text: str) -> None:
        if len(text) > len(self.told) and text.startswith(self.told):
            new, self.told = text[len(self.told) :], text
            self._say(Delta(new, self._taken()))

    def _finish(self, text: str, ending: Ending) -> None:
        self.done = True
        new = text[len(self.told) :] if text.startswith(self.told) else ""
        self.told += new
        self._say(Delta(new, self._taken(), ending))

    def _taken(self) -> tuple[Likely, ...]:
        found, self._likely = tuple(self._likely), []
        return found

    def _say(self, piece: Delta) -> None:
        try:
            self.hear(piece)
        except Exception:  # whoever asked is gone: no reason to end the answers beside this one
            self.cancelled = True


def _first(text: str, stops: Sequence[str]) -> int | None:
    """Where the first of the stops begins."""
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return min(found, default=None)


def _settled(text: str, stops: Sequence[str]) -> str:
    """A text without what the next token may change: half a character, the beginning of a stop."""
    text = text.rstrip(UNFINISHED)
    for stop in stops:
        for size in range(min(len(stop) - 1, len(text)), 0, -1):
            if text.endswith(stop[:size]):
                text = text[:-size]
                break
    return text
