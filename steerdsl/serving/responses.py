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

Word = Callable[[int], str]  # a token's text


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
    """Writes the responses to one request; `word` gives a token's text."""

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
                "tokens": [self.word(one.token) for one in likely],
                "token_logprobs": [one.logprob for one in likely],
                "top_logprobs": [{self.word(token): value for token, value in one.top} for one in likely],
            }
        return {"content": [self._told(one) for one in likely], "refusal": None}

    def _told(self, one: Likely) -> dict[str, Any]:
        top = [self._token(token, value) for token, value in one.top]
        return {**self._token(one.token, one.logprob), "top_logprobs": top}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text = self.word(token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
