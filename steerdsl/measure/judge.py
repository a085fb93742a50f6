"""What an LLM judge is asked and how its reply is read.

In: a question and two answers, in an order that the judge cannot know. Out: messages for a chat
model, and marks from 1 to 5 for each answer by five criteria, those of the slides "Residual
Activation Steering".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
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
VERSION = 2  # of the wording below and of how replies are read: raise it when the marks may change
_LONGEST = 16_384  # characters of a reply without its thoughts: marks take some hundreds
_THOUGHTS = re.compile(r"(?i)[<\[](/?)(?:think|thinking|thought|thoughts|reasoning|reflection)[>\]]")


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


Pair = tuple[dict[str, float], dict[str, float]]


def parse(reply: str) -> Pair | None:
    """The marks of both answers; None where the reply has none (`fault` says why).

    Taken is the last complete JSON object outside the judge's thoughts that has exactly what was asked for:
    an example that it repeats, a part of an object, or one with other marks does not count.
    """
    found, said = None, spoken(reply)
    for value in _objects(said) if len(said) <= _LONGEST else ():
        pair = _pair(value)
        found = found if pair is None else pair
    return found


def fault(reply: str) -> str:
    """Why a reply has no marks, short enough for a table."""
    said = spoken(reply)
    if not said.strip():
        return "the reply ends within its thoughts" if reply.strip() else "the reply is empty"
    if len(said) > _LONGEST:
        return "the reply is too long to be marks"
    if next(_objects(said), None) is None:
        return "the reply holds no complete JSON object"
    return "no JSON object of the reply has exactly the marks that were asked for"


def spoken(reply: str) -> str:
    """A reply without the thoughts before and in it: `<think>…</think>`, also where one tag is missing, since
    some templates open the thoughts themselves and some replies end in them."""
    kept, depth, place = "", 0, 0
    for tag in _THOUGHTS.finditer(reply):
        if depth == 0 and not tag[1]:
            kept += reply[place : tag.start()]
        if depth == 0 and tag[1]:
            kept = ""  # what comes before a lone closing tag was thought
        depth = max(0, depth - 1) if tag[1] else depth + 1
        place = tag.end()
    return kept if depth else kept + reply[place:]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The complete JSON objects of a text, outermost only, from first to last."""
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    start = text.find("{")
    while start >= 0:
        try:
            found, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
                return  # the text ends within this object, so what is in it is a part of one
            end = start + 1
        except (ValueError, RecursionError):  # a number or a nesting that nobody can read
            end = start + 1
        else:
            yield found
        start = text.find("{", end)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names occur once; one that says a mark twice has none."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


def _pair(found: Mapping[str, Any]) -> Pair | None:
    if set(found) != set(LETTERS):
        return None
    first, second = (_marks(found[letter]) for letter in LETTERS)
    return None if first is None or second is None else (first, second)


def _marks(found: Any) -> dict[str, float] | None:
    if not isinstance(found, dict) or set(found) != set(CRITERIA):
        return None
    # JSON's true is an int to Python, so the type itself is asked for.
    good = {
        name: float(found[name])
        for name in CRITERIA
        if type(found[name]) in (int, float) and LOW <= found[name] <= HIGH
    }
    return good if len(good) == len(CRITERIA) else None


def mean_marks(marks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of one answer's marks over the orders in which it was shown; nan where there is none."""
    return {name: sum(m[name] for m in marks) / len(marks) if marks else math.nan for name in CRITERIA}
