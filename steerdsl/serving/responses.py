"""Answers in the form of the OpenAI interface.

In: pieces of answers, by the number of their choice. Out: plain values for JSON: a whole response, or its chunks.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steerdsl.serving.questions import Delta, Likely
from steerdsl.serving.requests import Wanted

Word = Callable[[int], tuple[str, list[int] | None]]  # a token's text and its bytes, where they are known


@dataclass(slots=True)
class Choice:
    """One answer as far as it has come."""

    text: str = ""
    likely: list[Likely] = field(default_factory=list)
    ending: str | None = None

    def add(self, piece: Delta) -> None:
        """What is new of it."""
        self.text += piece.text
        self.likely += piece.likely
        self.ending = piece.ending or self.ending


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the responses to one request; `word` gives a token's text and bytes."""

    wanted: Wanted
    word: Word
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, choices: Sequence[Choice], made: int) -> dict[str, Any]:
        """The response once every choice has ended; `made` tokens were made."""
        listed = [self._choice(number, choice) for number, choice in enumerate(choices)]
        return {**self._head(chunk=False), "choices": listed, "usage": self.usage(made)}

    def first(self, number: int) -> dict[str, Any]:
        """The chunk that begins a choice of a conversation."""
        return self._chunk(number, {"role": "assistant", "content": ""}, None, ())

    def chunk(self, number: int, piece: Delta) -> dict[str, Any]:
        """What is new of a choice."""
        return self._chunk(
            number, {"content": piece.text} if piece.text else {}, piece.ending, piece.likely, piece.text
        )

    def last(self, made: int) -> dict[str, Any]:
        """The chunk that tells how many tokens there were."""
        return {**self._head(chunk=True), "choices": [], "usage": self.usage(made)}

    def usage(self, made: int) -> dict[str, int]:
        """How many tokens were read and made."""
        read = self.wanted.prompt_tokens
        return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}

    def _head(self, chunk: bool) -> dict[str, Any]:
        kind, short = ("chat.completion", "chatcmpl") if self.wanted.chat else ("text_completion", "cmpl")
        kind += ".chunk" if chunk and self.wanted.chat else ""
        return {"id": f"{short}-{self.id}", "object": kind, "created": self.created, "model": self.wanted.model}

    def _choice(self, number: int, choice: Choice) -> dict[str, Any]:
        about = {"index": number, "finish_reason": choice.ending, "logprobs": self._logprobs(choice.likely)}
        if not self.wanted.chat:
            return {**about, "text": choice.text}
        return {**about, "message": {"role": "assistant", "content": choice.text, "refusal": None}}

    def _chunk(
        self, number: int, delta: Mapping[str, Any], ending: str | None, likely: Sequence[Likely], text: str = ""
    ) -> dict[str, Any]:
        logprobs = self._logprobs(likely) if likely else None
        about = {"index": number, "finish_reason": ending, "logprobs": logprobs}
        shown = {"delta": dict(delta)} if self.wanted.chat else {"text": text}
        return {**self._head(chunk=True), "choices": [{**about, **shown}]}

    def _logprobs(self, likely: Sequence[Likely]) -> dict[str, Any] | None:
        asked = self.wanted.questions[0].logprobs
        if asked is None:
            return None
        if not self.wanted.chat:
            return {
                "tokens": [self.word(one.token)[0] for one in likely],
                "token_logprobs": [one.logprob for one in likely],
                "top_logprobs": [{self.word(token)[0]: value for token, value in one.top} for one in likely],
            }
        return {"content": [self._told(one) for one in likely], "refusal": None}

    def _told(self, one: Likely) -> dict[str, Any]:
        top = [self._token(token, value) for token, value in one.top]
        return {**self._token(one.token, one.logprob), "top_logprobs": top}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text, own = self.word(token)
        return {"token": text, "logprob": logprob, "bytes": own}


def named_bytes(name: str) -> list[int] | None:
    """The bytes that a token's name in the vocabulary stands for: `<0xF0>`, or a character for each byte as GPT-2's
    vocabulary writes them. None for any other name."""
    if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return [int(name[3:5], 16)]
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves
    hidden = [byte for byte in range(256) if byte not in shown]  # the others are moved behind them
    known = {chr(byte): byte for byte in shown} | {chr(256 + place): byte for place, byte in enumerate(hidden)}
    return [known[sign] for sign in name] if name and all(sign in known for sign in name) else None
