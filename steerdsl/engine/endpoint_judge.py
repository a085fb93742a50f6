"""A judge behind an endpoint, asked by rubrics.

In: conversations. Out: replies, with the tokens that might stand in the place of a mark where the endpoint tells them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from steerdsl.engine.judge_client import Judge
from steerdsl.engine.rubric_marks import Conversation, JudgeReply
from steerdsl.measure.rubric import TOP, Candidates, Rubric, candidates


class EndpointJudge:
    """The judge that the command line names. Some endpoints tell five tokens at most, and some none."""

    local, together = False, 1

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.name = judge.model
        self.key = f"endpoint {judge.model}"
        self._forms: list[dict[str, Any]] = [{"logprobs": True, "top_logprobs": n} for n in (TOP, 5)] + [{}]

    def replies(self, rubric: Rubric, asked: Sequence[Conversation]) -> list[JudgeReply]:
        """The replies, one after the other."""
        found = []
        for conversation in asked:
            forms = self._forms if rubric.expected else self._forms[-1:]
            text, body, used = self._judge.reply(conversation, forms)
            if rubric.expected:
                del self._forms[:used]
            tokens = _tokens(body) if rubric.expected else None
            found.append(JudgeReply(text, None if tokens is None else candidates(rubric, text, tokens)))
        return found


def _tokens(body: Any) -> list[tuple[str, Candidates]] | None:
    """The tokens of a reply, each with what might stand in its place; None where the endpoint does not tell them in
    OpenAI's form."""
    try:
        listed = body["choices"][0]["logprobs"]["content"]
        return [(_text(one), [_pair(other) for other in (one, *one["top_logprobs"])]) for one in listed]
    except (LookupError, TypeError, ValueError):
        return None


def _pair(token: Any) -> tuple[str, float]:
    """A token and its log-probability. Raises TypeError or ValueError for what is neither."""
    logprob = token["logprob"]
    if type(logprob) not in (int, float) or not math.isfinite(logprob) or logprob > 1e-3:
        raise ValueError(logprob)
    return _text(token), min(0.0, float(logprob))


def _text(token: Any) -> str:
    text = token["token"]
    if not isinstance(text, str):
        raise TypeError(text)
    return text.encode("utf-8", "replace").decode("utf-8")
