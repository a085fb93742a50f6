"""What an LLM judge is asked and how its reply is read.

In: a question and two answers, in an order that the judge cannot know. Out: messages for a chat
model, and marks from 1 to 5 for each answer by five criteria, those of the slides "Residual
Activation Steering".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

CRITERIA: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "whether what it says is true and answers the question",
        "subject_specificity": "how much it uses the ideas and terms of the question's own subject",
        "language_complexity": "how rich its words and sentences are",
        "clarity": "how easily it is understood",
        "consistency": "whether it holds together and does not contradict itself",
    }
)
LOW, HIGH = 1, 5
LETTERS = ("A", "B")
VERSION = 1  # of the wording below: raise it when the marks may change


def messages(question: str, answers: tuple[str, str]) -> list[dict[str, str]]:
    """The conversation that asks for marks of two answers; nothing in it says which is steered."""
    listed = "\n".join(f"- {name}: {meaning}" for name, meaning in CRITERIA.items())
    example = json.dumps({letter: dict.fromkeys(CRITERIA, 3) for letter in LETTERS})
    system = (
        "You grade two answers to a question. Grade each on its own, from 1 (very poor) to 5 (excellent), by "
        f"these criteria:\n{listed}\n"
        f"Reply with one JSON object and nothing else, with your own marks in the place of these: {example}"
    )
    shown = "\n\n".join(f"Answer {letter}:\n<<<\n{text}\n>>>" for letter, text in zip(LETTERS, answers, strict=True))
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": f"Question:\n<<<\n{question}\n>>>\n\n{shown}"},
    ]


def schema() -> dict[str, Any]:
    """The JSON schema of a reply, for endpoints that hold a model to one."""
    mark = {"type": "integer", "minimum": LOW, "maximum": HIGH}
    marks = _object(dict.fromkeys(CRITERIA, mark))
    return _object(dict.fromkeys(LETTERS, marks))


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    named = {"properties": dict(properties), "required": list(properties)}
    return {"type": "object", **named, "additionalProperties": False}


def parse(reply: str) -> tuple[dict[str, float], dict[str, float]] | None:
    """The marks of both answers; None where the reply is no such object (a refusal, say)."""
    start = reply.find("{")
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(reply[start:])
    except (ValueError, RecursionError):
        return None
    marks = [_marks(found.get(letter)) for letter in LETTERS] if isinstance(found, dict) else [None]
    first, second = marks[0], marks[-1]
    return None if first is None or second is None else (first, second)


def _marks(found: Any) -> dict[str, float] | None:
    if not isinstance(found, dict):
        return None
    marks = {name: found.get(name) for name in CRITERIA}
    # JSON's true is an int to Python, so the type itself is asked for.
    good = {n: float(x) for n, x in marks.items() if x is not None and type(x) in (int, float) and LOW <= x <= HIGH}
    return good if len(good) == len(CRITERIA) else None


def mean_marks(marks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of one answer's marks over the orders in which it was shown; nan where there is none."""
    return {name: sum(m[name] for m in marks) / len(marks) if marks else math.nan for name in CRITERIA}
